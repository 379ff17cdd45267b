"""Evaluation, node by node, on a network of one convolution."""

import math

import numpy as np
import pandas as pd
import pytest
from evaluation_kit import NETWORK

from goodbad_pipeline.pipelines.evaluation import nodes as evaluation


def test_the_answers_are_the_calibrated_ones(road) -> None:
    assert len(road.test) == (road.splits["split"] == "test").sum()
    assert set(road.validation["image_id"]).isdisjoint(road.test["image_id"])
    assert road.calibration["temperature"] != 1
    likeliest = road.test[["probability_bad", "probability_good"]].max(axis=1)
    assert road.test["probability"].tolist() == pytest.approx(likeliest.tolist())
    raw = evaluation.predict_test(
        road.model, road.pixels, road.splits, {**road.calibration, "temperature": 1.0, "threshold": None}
    )
    assert not np.allclose(raw["probability"], road.test["probability"])


def test_every_metric_is_a_number_and_stands_beside_three_baselines(road) -> None:
    assert all(math.isfinite(value) for value in road.metrics.values())
    assert road.metrics["test_accuracy"] > 0.8
    assert road.metrics["test_accuracy_surest_80"] >= road.metrics["test_accuracy"]
    assert list(road.comparison.columns) == ["metric", "model", "majority", "histogram", "shortcut"]
    assert road.metrics["baseline_majority_test_balanced_accuracy"] == 0.5
    assert "test_ece_low" not in road.metrics  # there is none that holds the true error
    assert 0 < road.metrics["test_ece_by_chance"] < 0.5
    assert {"test_log_loss_low", "uncalibrated_test_brier", "test_abstained"} <= set(road.metrics)


def test_manifest_columns_are_sliced_and_the_sensitive_one_is_measured_for_gaps(road) -> None:
    assert "weather" in set(road.slices["column"])
    assert set(road.fairness["column"]) == {"weather"}
    assert set(road.fairness["measure"]) == {"accuracy", "called good"}  # too few good ones of a weather for the others


def test_a_sensitive_column_that_cannot_be_sliced_is_named_with_the_reason(road, caplog) -> None:
    odd = road.splits.assign(planet="earth", frame=[f"f{index}" for index in range(len(road.splits))])
    params = road.params.model_copy(update={"sensitive": ["weather", "planet", "frame"]})
    fairness = evaluation.measure_slices(road.test, odd, params)[1]
    assert set(fairness["column"]) == {"weather"}
    assert "evaluation.sensitive: no gaps between values of 'planet': it has the same value for all" in caplog.text
    assert "no gaps between values of 'frame': its " in caplog.text


def test_with_and_without_a_centre_answers_are_chosen_alike_and_of_the_same_images(road, monkeypatch) -> None:
    """A threshold that none reaches calls every image bad, also those without a centre; and only a part is asked."""
    monkeypatch.setattr(evaluation, "EXPLAINED_IMAGES", 10)
    unreached = {**road.calibration, "threshold": 2.0}
    test = evaluation.predict_test(road.model, road.pixels, road.splits, unreached)
    part = test.sample(10, random_state=road.params.seed)
    measured = evaluation.explain_predictions(road.model, test, road.pixels, unreached, road.images, road.params)[1]
    assert measured["test_accuracy_centre_masked"] == pytest.approx((part["label"] == "bad").mean())
    for name in ("test_accuracy_centre_unmasked", "test_accuracy_centre_shown"):  # the old name is an alias
        assert measured[name] == pytest.approx(part["correct"].mean())
    assert part["correct"].mean() != test["correct"].mean()


def test_without_a_centre_the_answer_is_another(road) -> None:
    assert 0 < road.seeing["test_gradcam_border_share"] < 1
    assert 0 <= road.seeing["test_accuracy_centre_masked"] <= 1
    assert road.seeing["test_accuracy_centre_shown"] == pytest.approx(road.metrics["test_accuracy"])
    findings = evaluation.find_problems(road.splits, *road.measured, NETWORK)
    assert "leakage" not in [finding["code"] for finding in findings]
    torn = road.splits.assign(group="one")
    findings = evaluation.find_problems(torn, *road.measured, NETWORK)
    assert findings[0]["code"] == "leakage"
    grown = NETWORK | {"source": {"version": "goodbad/1", "recorded": True, "test_images": 7}}
    findings = evaluation.find_problems(road.splits, *road.measured, grown)
    assert findings[0]["text"] == (
        "Test results cannot be trusted: the initial weights were trained or selected on 7 of 48 test images "
        "or others of their groups."
    )


def test_sheets_show_mistakes_losses_and_what_speaks_for_answers(road) -> None:
    mistakes, losses = evaluation.draw_mistakes(road.test, road.pixels)
    wrong = int((~road.test["correct"]).sum())
    assert f"{wrong} of {wrong}" in mistakes.texts[0].get_text()
    assert "Highest losses" in losses.texts[0].get_text()
    assert "Grad-CAM" in road.explanations.texts[0].get_text()
    assert isinstance(road.slices, pd.DataFrame)
