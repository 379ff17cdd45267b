import numpy as np
import pytest

from goodbad_pipeline.evaluation import calibration as calibration_error
from goodbad_pipeline.evaluation.bootstrap import resample_groups
from goodbad_pipeline.evaluation.calibration import ece_by_chance
from goodbad_pipeline.evaluation.decision import scale_temperature
from goodbad_pipeline.evaluation.findings import POOR_ECE
from goodbad_pipeline.evaluation.metrics import classification_metrics


def honest(rng, count):
    """Draw labels from a model's own probabilities."""
    scores = 1 / (1 + np.exp(-rng.normal(0, 2, count)))
    return (rng.random(count) < scores).astype(int), np.stack([1 - scores, scores], axis=1)


def share_found(count, rounds, temperature=1.0):
    """Count how often the error of a sharpened model exceeds chance, and how often it exceeds the limit."""
    rng = np.random.default_rng(count)
    beyond = plainly = 0
    for seed in range(rounds):
        y_true, probabilities = honest(rng, count)
        probabilities = scale_temperature(probabilities, 1 / temperature)
        error = classification_metrics(y_true, probabilities)["ece"]
        by_chance = ece_by_chance(probabilities, resample_groups(np.arange(count), 300, seed), seed)
        beyond += error > max(by_chance, POOR_ECE)
        plainly += error > POOR_ECE
    return beyond / rounds, plainly / rounds


def test_a_calibrated_model_is_seldom_called_uncalibrated():
    beyond, plainly = share_found(80, 400)
    assert beyond <= 0.025 + 2 * (0.025 * 0.975 / 400) ** 0.5  # nominal, and the noise of 400 rounds
    assert plainly > 0.3  # by the limit alone


def test_an_overconfident_model_is_detected():
    assert share_found(400, 40, temperature=3)[0] > 0.9


def test_images_that_are_right_or_wrong_together_leave_more_to_chance():
    _, probabilities = honest(np.random.default_rng(0), 200)
    alone, together = (
        ece_by_chance(probabilities, resample_groups(groups, 400, 0), 0)
        for groups in (np.arange(200), np.arange(200) // 10)
    )
    assert alone < 0.7 * together < 0.4


def test_blocks_change_nothing_and_no_draws_give_nan(monkeypatch):
    _, probabilities = honest(np.random.default_rng(1), 60)
    resamples = resample_groups(np.arange(60) // 2, 50, 0)
    whole = ece_by_chance(probabilities, resamples, 3)
    monkeypatch.setattr(calibration_error, "BLOCK", 100)
    assert ece_by_chance(probabilities, resamples, 3) == pytest.approx(whole)
    assert np.isnan(ece_by_chance(probabilities, resample_groups(np.arange(60), 0, 0), 3))
