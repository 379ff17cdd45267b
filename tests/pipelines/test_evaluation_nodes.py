"""Evaluation, node by node, on a network of one convolution."""

import logging
import math
import re

import numpy as np
import pandas as pd
import pytest
from evaluation_kit import NETWORK
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from report_kit import facts

from goodbad_pipeline.evaluation.figures import VERDICTS
from goodbad_pipeline.evaluation.predictions import BASELINES
from goodbad_pipeline.pipelines.evaluation import nodes as evaluation
from goodbad_pipeline.reporting.pages import write_report
from goodbad_pipeline.tracking.run_record import labels_digest


def test_predictions_are_calibrated(run) -> None:
    assert len(run.test) == (run.splits["split"] == "test").sum()
    assert set(run.validation["image_id"]).isdisjoint(run.test["image_id"])
    likeliest = run.test[["probability_bad", "probability_good"]].max(axis=1)
    assert run.test["probability"].tolist() == pytest.approx(likeliest.tolist())
    flatter = evaluation.predict_test(
        run.model,
        run.pixels,
        run.splits,
        {**run.calibration, "temperature": 2.0, "threshold": None},
    )
    assert flatter["probability"].mean() < run.test["probability"].mean()


def test_the_log_names_a_threshold_only_of_two_classes(run, caplog) -> None:
    caplog.set_level(logging.INFO)
    evaluation.calibrate_model(run.validation, run.params)
    assert re.search(r"temperature \d\.\d{3}, threshold 0\.\d{3}, ", caplog.text)
    caplog.clear()
    evaluation.calibrate_model(run.validation.assign(probability_ugly=0.0), run.params)
    assert ", no threshold, " in caplog.text


def test_every_metric_is_finite_and_compared_with_three_baselines(run) -> None:
    assert all(math.isfinite(value) for value in run.metrics.values())
    assert run.metrics["test_accuracy"] > 0.8
    assert run.metrics["test_accuracy_surest_80"] >= run.metrics["test_accuracy"]
    assert list(run.comparison.columns) == ["metric", "model", "majority", "histogram", "shortcut"]
    assert run.metrics["baseline_majority_test_balanced_accuracy"] == 0.5
    assert "test_ece_low" not in run.metrics  # there is none that holds the true error
    assert 0 < run.metrics["test_ece_by_chance"] < 0.5
    rise = run.metrics["test_log_loss"] - run.metrics["uncalibrated_test_log_loss"]
    assert run.metrics["calibration_log_loss_rise"] == pytest.approx(rise)
    low, high = (run.metrics[f"calibration_log_loss_rise_{bound}"] for bound in ("low", "high"))
    assert low - 1e-9 <= rise <= high + 1e-9  # all 0 if the temperature is 1
    assert {"test_log_loss_low", "uncalibrated_test_brier", "test_abstained"} <= set(run.metrics)


def test_manifest_columns_are_sliced_and_the_sensitive_one_is_measured_for_gaps(run) -> None:
    assert "weather" in set(run.slices["column"])
    assert set(run.fairness["column"]) == {"weather"}
    assert set(run.fairness["measure"]) == {
        "accuracy",
        "called good",
    }  # too few good ones of a weather for the others


def test_a_sensitive_column_that_cannot_be_sliced_is_named_with_the_reason(run, caplog) -> None:
    odd = run.splits.assign(planet="earth", frame=[f"f{index}" for index in range(len(run.splits))])
    params = run.params.model_copy(update={"sensitive": ["weather", "planet", "frame"]})
    fairness = evaluation.measure_slices(run.test, odd, params)[1]
    assert set(fairness["column"]) == {"weather"}
    reason = "'planet' are not computed: it has the same value for all"
    assert f"evaluation.sensitive: the gaps between the values of {reason}" in caplog.text
    assert "the gaps between the values of 'frame' are not computed: its " in caplog.text


def test_masked_and_unmasked_accuracy_use_the_same_threshold_and_images(run, monkeypatch) -> None:
    """With an unreachable threshold, every image is predicted bad, also with a masked centre; only a part is used."""
    monkeypatch.setattr(evaluation, "EXPLAINED_IMAGES", 10)
    unreached = {**run.calibration, "threshold": 2.0}
    test = evaluation.predict_test(run.model, run.pixels, run.splits, unreached)
    part = test.sample(10, random_state=run.params.seed)
    measured = evaluation.explain_predictions(run.model, test, run.pixels, unreached, run.images, run.params)[1]
    assert measured["test_accuracy_centre_masked"] == pytest.approx((part["label"] == "bad").mean())
    for name in ("test_accuracy_centre_unmasked", "test_accuracy_centre_shown"):  # the old name is an alias
        assert measured[name] == pytest.approx(part["correct"].mean())
    assert part["correct"].mean() != test["correct"].mean()


def test_masking_the_centre_changes_predictions(run) -> None:
    assert 0 < run.seeing["test_gradcam_border_share"] < 1
    assert 0 <= run.seeing["test_accuracy_centre_masked"] <= 1
    assert run.seeing["test_accuracy_centre_shown"] == pytest.approx(run.metrics["test_accuracy"])
    findings = evaluation.find_problems(run.splits, *run.measured, NETWORK, None)
    assert "leakage" not in [finding["code"] for finding in findings]
    torn = run.splits.assign(group="one")
    findings = evaluation.find_problems(torn, *run.measured, NETWORK, None)
    assert findings[0]["code"] == "leakage"
    grown = NETWORK | {"source": {"version": "goodbad/1", "recorded": True, "test_images": 7}}
    findings = evaluation.find_problems(run.splits, *run.measured, grown, None)
    assert findings[0]["text"] == (
        "Test results cannot be trusted: the initial weights were trained or selected on 7 of 48 test images "
        "or on other images of their groups."
    )


def test_only_a_review_of_the_same_labels_is_a_finding(run) -> None:
    stored = pd.DataFrame({"image_id": []})
    stored.attrs = {"labels": labels_digest(run.splits), "wrong_share": [0.03, 0.02, 0.05]}
    findings = evaluation.find_problems(run.splits, *run.measured, NETWORK, stored)
    assert any("About 3.0% of the labels are wrong" in finding["text"] for finding in findings)
    corrected = run.splits.assign(label=run.splits["label"].where(run.splits.index > 0, "good"))
    findings = evaluation.find_problems(corrected, *run.measured, NETWORK, stored)
    assert not any("labels are wrong" in finding["text"] for finding in findings)


def test_people_read_one_name_for_each_baseline(run, caplog) -> None:
    with caplog.at_level("INFO"):
        evaluation.evaluate_predictions(run.test, run.baselines, run.calibration, run.params)
    _, roc, precision_recall, metrics, _ = evaluation.draw_evaluation(
        run.test, run.baselines, run.comparison, run.calibration
    )
    for figure in (roc, precision_recall, metrics):
        labels = [text.get_text().split(",")[0] for legend in figure.findobj(Legend) for text in legend.get_texts()]
        assert [label for label in labels if label not in ("model", "chance")] == list(BASELINES.values())
    assert all(name in caplog.text for name in BASELINES.values())


def test_frames_of_sheets_tell_right_from_wrong(run) -> None:
    test = run.test.copy()
    test.loc[:0, "label"] = test["predicted"].map({"bad": "good", "good": "bad"})
    test["correct"] = test["label"] == test["predicted"]
    explained = evaluation.explain_predictions(run.model, test, run.pixels, run.calibration, run.images, run.params)[0]
    sheets = (explained, *evaluation.draw_mistakes(test, run.pixels))
    edges = [{to_hex(frame.get_edgecolor()).upper() for frame in sheet.axes[0].patches} for sheet in sheets]
    assert edges == [set(VERDICTS.values()), {VERDICTS["wrong"]}, set(VERDICTS.values())]
    for sheet in sheets:
        assert [text.get_text() for legend in sheet.legends for text in legend.get_texts()] == ["right", "wrong"]
    assert f"12 right, {(~test['correct']).sum()} wrong" in explained.texts[0].get_text()


def test_sheets_show_mistakes_losses_and_explanations(run) -> None:
    mistakes, losses = evaluation.draw_mistakes(run.test, run.pixels)
    wrong = int((~run.test["correct"]).sum())
    assert f"{wrong} of {wrong}" in mistakes.texts[0].get_text()
    assert "Highest losses" in losses.texts[0].get_text()
    assert "Grad-CAM" in run.explanations.texts[0].get_text()
    assert isinstance(run.slices, pd.DataFrame)


@pytest.mark.parametrize(
    ("maps", "reason"),
    [(np.zeros((99, 3, 3)), "every heat map is empty"), (np.ones((99, 2, 2)), "all 2 × 2 cells touch the border")],
)
def test_a_border_share_that_cannot_be_measured_is_left_out(run, monkeypatch, caplog, maps, reason) -> None:
    monkeypatch.setattr(evaluation.gradcam, "explain", lambda model, pixels, rows, classes: maps[: len(rows)])
    with caplog.at_level("INFO"):
        _, metrics = evaluation.explain_predictions(
            run.model, run.test, run.pixels, run.calibration, run.images, run.params
        )
    assert set(run.seeing) - set(metrics) == {"test_gradcam_border_share"}
    assert reason in caplog.text
    assert "nan" not in caplog.text
    page = write_report(facts(explanation_metrics=metrics), {})
    assert "on the border of the image is not measurable" in page
