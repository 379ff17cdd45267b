import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.evaluation.bootstrap import resample_groups
from goodbad_pipeline.evaluation.calibration import find_abstention, find_threshold, fit_calibration, fit_temperature
from goodbad_pipeline.evaluation.decision import Calibration, scale_temperature
from goodbad_pipeline.evaluation.metrics import classification_metrics


def overconfident(seed, temperature, classes=2, count=3000, prior=None):
    """Draw labels from known probabilities, and sharpen the probabilities by `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes)) + (0 if prior is None else np.array(prior))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = (rng.random((count, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    return np.minimum(y_true, classes - 1), scale_temperature(honest, 1 / temperature), honest


def each_alone(y_true):
    """Resamples in which each image is a group of its own."""
    return resample_groups(np.arange(len(y_true)), 1, 0)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_true_temperature_is_recovered(temperature, classes):
    y_true, values, _ = overconfident(0, temperature, classes)
    assert fit_temperature(y_true, values, each_alone(y_true)) == pytest.approx(temperature, rel=0.1)


def test_scaling_lowers_the_calibration_error_and_changes_no_prediction():
    y_true, values, _ = overconfident(1, 3.0)
    calibrated = scale_temperature(values, fit_temperature(y_true, values, each_alone(y_true)))
    before, after = (classification_metrics(y_true, values) for values in (values, calibrated))
    assert after["ece"] < 0.03
    assert before["ece"] > 0.1
    assert after["log_loss"] < before["log_loss"]
    assert after["brier"] < before["brier"]
    assert (after["accuracy"], after["roc_auc"]) == pytest.approx((before["accuracy"], before["roc_auc"]))


@pytest.mark.parametrize("classes", [2, 7, 23])
def test_an_error_free_validation_split_does_not_make_predictions_certain(classes):
    y_true = np.repeat(np.arange(classes), 20)
    values = np.where(np.eye(classes)[y_true] == 1, 0.8, 0.2 / (classes - 1))
    calibrated = scale_temperature(values, fit_temperature(y_true, values, each_alone(y_true)))
    count = 20 * classes
    assert 0.8 <= calibrated.max() <= (count + 1 / classes) / (count + 1)  # as if one more image were of each class


def test_a_temperature_that_few_groups_cannot_tell_from_1_changes_nothing():
    y_true, values, _ = overconfident(0, 1.5, classes=7, count=600)
    few, all_equal = y_true[:24], np.zeros(600)
    assert fit_temperature(few, values[:24], each_alone(few)) == 1
    assert 1 < fit_temperature(y_true, values, each_alone(y_true)) == pytest.approx(1.5, rel=0.2)
    assert fit_temperature(y_true, values, resample_groups(all_equal, 1, 0)) == 1  # one group shows nothing


def log_loss_change(groups, classes, sharpening, rounds, spread, images=4):
    """Mean change of the expected log loss by calibration; the images of a group have one label and one prediction."""
    rng = np.random.default_rng(7)

    def honest(count):
        return scale_temperature(np.exp(rng.normal(0, spread, (count, classes))), 1)

    population = honest(4000)
    served = scale_temperature(population, 1 / sharpening)

    def expected(temperature):
        return -(population * np.log(np.maximum(scale_temperature(served, temperature), 1e-30))).sum(axis=1).mean()

    changes = []
    for _ in range(rounds):
        truth = honest(groups)
        labels = np.minimum((rng.random((groups, 1)) > truth.cumsum(axis=1)).sum(axis=1), classes - 1)
        y_true, values = (
            np.repeat(array, images, axis=0) for array in (labels, scale_temperature(truth, 1 / sharpening))
        )
        resamples = resample_groups(np.repeat(np.arange(groups), images), 1, 0)
        changes.append(expected(fit_temperature(y_true, values, resamples)) - expected(1))
    return np.mean(changes)


@pytest.mark.parametrize("classes", [2, 7, 23])
@pytest.mark.parametrize("sharpening", [0.6, 1.0, 1.5])  # under-confident, calibrated, over-confident
def test_calibration_on_few_groups_does_not_raise_the_expected_log_loss(classes, sharpening):
    assert log_loss_change(24, classes, sharpening, rounds=20, spread=3) <= 0.002


@pytest.mark.slow
@pytest.mark.parametrize("groups", [24, 80, 400])
@pytest.mark.parametrize("classes", [2, 7, 23])
@pytest.mark.parametrize("sharpening", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("spread", [1, 3, 8])
def test_calibration_does_not_raise_the_expected_log_loss_however_many_groups(groups, classes, sharpening, spread):
    change = log_loss_change(groups, classes, sharpening, rounds=100, spread=spread)
    assert change <= 0.002
    if groups == 400 and sharpening != 1:
        assert change < 0  # enough groups: calibration pays


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20), st.integers(2, 6))
def test_scaling_back_undoes_scaling_and_keeps_the_order(seed, temperature, classes):
    values = np.random.default_rng(seed).dirichlet(np.ones(classes), 10)
    scaled = scale_temperature(values, temperature)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    np.testing.assert_array_equal(scaled.argmax(axis=1), values.argmax(axis=1))
    if temperature > 0.5:
        np.testing.assert_allclose(scale_temperature(scaled, 1 / temperature), values, atol=1e-9)


def test_a_zero_stays_finite():
    assert np.isfinite(scale_temperature(np.array([[0.0, 1.0]]), 0.1)).all()


def test_a_threshold_moves_where_that_gains_beyond_chance():
    y_true, _, honest = overconfident(2, 1.0, prior=(3.0, 0.0))  # few of class 1: 1/2 misses most of them
    resamples = resample_groups(np.arange(len(y_true)), 500, 0)
    threshold = find_threshold(y_true, honest, resamples)
    assert threshold < 0.25
    moved = classification_metrics(y_true, honest, predicted=(honest[:, 1] >= threshold).astype(int))
    assert moved["balanced_accuracy"] > classification_metrics(y_true, honest)["balanced_accuracy"] + 0.1


def count_moved(rounds, images, gap, spread, middle=0.5):
    """How often the threshold leaves 1/2, in validation splits of so many images, each a group."""
    rng = np.random.default_rng(3)
    moved = 0
    for seed in range(rounds):
        y_true = np.arange(images) % 2
        scores = np.clip(middle + (y_true - 0.5) * gap + rng.normal(0, spread, images), 0.01, 0.99)
        resamples = resample_groups(np.arange(images), 200, seed)
        moved += find_threshold(y_true, np.stack([1 - scores, scores], axis=1), resamples) != 0.5
    return moved / rounds


def nominal(rounds):
    """The 2.5 % of a two-sided 95 % interval, and two standard errors of so many rounds."""
    return 0.025 + 2 * (0.025 * 0.975 / rounds) ** 0.5


def test_a_threshold_stays_where_a_gain_is_luck():
    assert count_moved(200, 80, gap=0.3, spread=0.2) <= nominal(200)


@pytest.mark.slow
@pytest.mark.parametrize("images", [24, 80, 400])
def test_a_threshold_stays_where_a_gain_is_luck_however_many_images(images):
    assert count_moved(600, images, gap=0.3, spread=0.2) <= 0.05  # of 400 images 0.042, twice the nominal


@pytest.mark.slow
def test_a_threshold_that_is_as_good_as_any_is_moved_a_little_more_often():
    """Draw uninformative scores, for which every cut is as good as 1/2."""
    assert count_moved(600, 80, gap=0, spread=0.3) <= 0.08


def test_a_threshold_that_gains_is_found():
    assert count_moved(20, 400, gap=0.3, spread=0.2, middle=0.3) > 0.7


def test_groups_of_a_pattern_are_dealt_so_that_each_part_has_both_classes():
    """Every fifth group is of class 1; as they come, one part of five would hold them all."""
    y_true = (np.arange(400) % 5 == 0).astype(int)
    scores = np.where(y_true == 1, 0.3, 0.1)
    resamples = resample_groups(np.arange(400), 200, 0)
    assert find_threshold(y_true, np.stack([1 - scores, scores], axis=1), resamples) == pytest.approx(0.2)


def test_abstention_meets_the_target_error():
    confidence = np.array([0.9, 0.8, 0.8, 0.7, 0.6])
    right = np.array([1, 1, 0, 1, 0])
    assert find_abstention(right, confidence, 0.25) == 0.7  # one of four is wrong
    assert find_abstention(right, confidence, 0.1) == 0.9  # equally confident predictions stay together
    assert find_abstention(right, confidence, 0.4) is None


def test_an_unreachable_target_takes_the_lowest_error_and_is_logged(caplog):
    with caplog.at_level(logging.WARNING):
        cut = find_abstention(np.array([0, 1, 1]), np.array([0.9, 0.8, 0.7]), 0.1)
    assert cut == 0.7
    assert "to 0.1; the lowest error rate that abstention reaches, 0.333" in caplog.text


def test_everything_is_fitted_on_what_came_before_it():
    y_true, values, _ = overconfident(4, 2.0)
    resamples = resample_groups(np.arange(len(y_true)), 300, 0)
    reading = fit_calibration(y_true, values, ["bad", "good"], resamples, abstain_at_error=0.1)
    calibrated = reading.calibrate(values)
    predicted, given = reading.predict(calibrated), ~reading.abstain(calibrated)
    assert 0.05 < np.mean(predicted[given] != y_true[given]) <= 0.1
    assert Calibration(**reading.to_dict()) == reading
    assert list(reading.to_dict()) == ["class_names", "temperature", "threshold", "abstain_below"]


def test_more_than_two_classes_have_no_threshold():
    y_true, values, _ = overconfident(5, 1.0, classes=3, count=300)
    resamples = resample_groups(np.arange(300), 300, 0)
    assert fit_calibration(y_true, values, list("abc"), resamples).threshold is None


def test_the_likeliest_class_or_the_second_from_the_threshold_on_is_predicted():
    values = np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]])
    assert Calibration(["a", "b"]).predict(values).tolist() == [0, 0, 1]
    reading = Calibration(["a", "b"], threshold=0.3, abstain_below=0.5)
    assert reading.predict(values).tolist() == [1, 1, 1]
    assert reading.abstain(values).tolist() == [True, False, False]  # the predicted class has 0.3


def test_decision_imports_nothing_of_this_project():
    import subprocess
    import sys
    from pathlib import Path

    from goodbad_pipeline.evaluation import decision

    code = f"import runpy, sys; runpy.run_path({decision.__file__!r}); sys.exit('goodbad_pipeline' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(sys.prefix)).returncode == 0
