"""What the trained model is worth on images it has never seen, beside what takes no network at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import pandas as pd

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.baselines import (
    file_features,
    histogram_baseline,
    majority_baseline,
    shortcut_baseline,
)
from goodbad_pipeline.evaluation.bootstrap import Interval, resample_groups
from goodbad_pipeline.evaluation.calibration import ece_by_chance, fit_calibration
from goodbad_pipeline.evaluation.decision import Calibration, scale_temperature
from goodbad_pipeline.evaluation.findings import list_findings
from goodbad_pipeline.evaluation.metrics import (
    classification_metrics,
    comparison_table,
    interval_table,
    per_class_metrics,
    read_intervals,
    resampled_metrics,
    surest_accuracy,
)
from goodbad_pipeline.evaluation.predictions import (
    MODEL,
    by_model,
    chosen_classes,
    predicted_classes,
    prediction_table,
    y_true_and_probabilities,
)
from goodbad_pipeline.evaluation.slices import fairness_table, slice_table, slice_values, why_no_slices
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.reading import find_exif
from goodbad_pipeline.images.split_leakage import find_leaks
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import EvaluationParams, ImageParams
from goodbad_pipeline.registry.lineage import seen_before

logger = logging.getLogger(__name__)
batches = lazy.load("goodbad_pipeline.training.batches", suppress_warning=True)

BEFORE_SCALING = ("log_loss", "brier", "ece")


def predict_validation(model: Any, pixels: Pixels, splits: pd.DataFrame) -> pd.DataFrame:
    """Ask the model about every validation image; its probabilities stay as they are."""
    return _predict(model, pixels, splits, "validation", Calibration(class_names(splits)))


def calibrate_model(validation_predictions: pd.DataFrame, evaluation: EvaluationParams) -> dict[str, Any]:
    """Learn from validation how to read the model: temperature, threshold, and when to abstain."""
    names = predicted_classes(validation_predictions)
    calibration = fit_calibration(
        *y_true_and_probabilities(validation_predictions),
        names,
        resample_groups(validation_predictions["group"], evaluation.replicates, evaluation.seed),
        choose_threshold=evaluation.choose_threshold,
        abstain_at_error=evaluation.abstain_at_error,
    )
    logger.info(
        "From validation: temperature %.3f, threshold %s, %s",
        calibration.temperature,
        calibration.threshold,
        "never abstains" if calibration.abstain_below is None else f"abstains below {calibration.abstain_below:.3f}",
    )
    return calibration.to_dict()


def predict_test(model: Any, pixels: Pixels, splits: pd.DataFrame, calibration: dict[str, Any]) -> pd.DataFrame:
    """Ask the model about every test image, once."""
    return _predict(model, pixels, splits, "test", Calibration.from_dict(calibration))


def _predict(model: Any, pixels: Pixels, splits: pd.DataFrame, split: str, calibration: Calibration) -> pd.DataFrame:
    part = splits[splits["split"] == split]
    return prediction_table(part, batches.predict(model, pixels.array, pixels.rows(part["image_id"])), calibration)


def predict_baselines(
    pixels: Pixels, splits: pd.DataFrame, images: ImageParams, evaluation: EvaluationParams
) -> pd.DataFrame:
    """Ask the majority class, the colours and the bare files the same; column ``baseline`` says whose answer it is."""
    names = class_names(splits)
    train, test = splits[splits["split"] == "train"], splits[splits["split"] == "test"]
    y_true = train["label"].map(names.index).to_numpy("int64")
    train_pixels, test_pixels = (pixels.array[pixels.rows(part["image_id"])] for part in (train, test))
    files = [file_features(part, find_exif(Path(images.root), part["path"].tolist())) for part in (train, test)]
    answers = {
        "majority": majority_baseline(y_true, len(test), len(names)),
        "histogram": histogram_baseline(train_pixels, y_true, test_pixels, len(names), evaluation.seed),
        "shortcut": shortcut_baseline(files[0], y_true, files[1], len(names), evaluation.seed),
    }
    tables = [
        prediction_table(test, answer, Calibration(names)).assign(baseline=name) for name, answer in answers.items()
    ]
    return pd.concat(tables, ignore_index=True)


def evaluate_predictions(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    calibration: dict[str, Any],
    evaluation: EvaluationParams,
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure the model and, on the same images, the baselines.

    Returns:
        Metrics, a comparison, metrics with their intervals (column ``model`` says whose), and a table per class.
    """
    names = predicted_classes(test_predictions)
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    intervals = []
    for name, answers in by_model(test_predictions, baseline_predictions).items():
        y_true, probabilities = y_true_and_probabilities(answers)
        measured = resampled_metrics(y_true, probabilities, resamples, names, chosen_classes(answers))
        intervals.append(interval_table(measured, y_true, resamples).assign(model=name))
    table = pd.concat(intervals, ignore_index=True)[["model", "metric", "value", "low", "high"]]
    bounds = read_intervals(table)
    _tell(bounds)
    metrics = _flatten(bounds) | _about_certainty(test_predictions, Calibration.from_dict(calibration))
    metrics["test_ece_by_chance"] = ece_by_chance(
        y_true_and_probabilities(test_predictions)[1], resamples, evaluation.seed
    )
    metrics |= {"test_images": float(len(test_predictions)), "test_groups": float(resamples.groups)}
    per_class = per_class_metrics(
        *y_true_and_probabilities(test_predictions), names, resamples, chosen_classes(test_predictions)
    )
    return metrics, comparison_table(_by_metric(bounds)), table, per_class


def measure_slices(
    test_predictions: pd.DataFrame, splits: pd.DataFrame, evaluation: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame, figures.Figure]:
    """Measure accuracy on every value of every column, and how far apart the values of sensitive columns fare."""
    test = splits[splits["split"] == "test"]
    values = slice_values(test.reset_index(drop=True))
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    slices = slice_table(values, test_predictions["correct"].to_numpy(), resamples)
    for name in evaluation.sensitive:
        if name not in values.columns:
            why = why_no_slices(test, name)
            logger.warning("evaluation.sensitive: no gaps between values of '%s': %s", name, why)
    gaps = fairness_table(
        values[[name for name in evaluation.sensitive if name in values.columns]],
        test_predictions["label"],
        test_predictions["predicted"],
        resamples,
        predicted_classes(test_predictions),
    )
    for row in gaps.itertuples(index=False):
        logger.info("Gap in %s by %s: %.3f (%s to %s)", row.measure, row.column, row.gap, row.lowest, row.highest)
    return slices, gaps, figures.slices_figure(slices, float(test_predictions["correct"].mean()))


def find_problems(
    splits: pd.DataFrame,
    metric_intervals: pd.DataFrame,
    per_class_metrics: pd.DataFrame,
    slices: pd.DataFrame,
    explanation_metrics: dict[str, float],
    test_metrics: dict[str, float],
    network: dict[str, Any],
) -> list[dict[str, str]]:
    """Say what a reader must know before believing the numbers: each finding with a code and a sentence."""
    findings = list_findings(
        find_leaks(splits, seen_before(network)),
        metric_intervals,
        per_class_metrics,
        slices,
        blind=explanation_metrics["test_accuracy_centre_masked"],
        sighted=explanation_metrics["test_accuracy_centre_shown"],
        ece_by_chance=test_metrics["test_ece_by_chance"],
    )
    for finding in findings:
        logger.warning("%s: %s", finding["code"], finding["text"])
    return findings


def _by_metric(intervals: dict[tuple[str, str], Interval]) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for (model, metric), interval in intervals.items():
        scores.setdefault(model, {})[metric] = interval.value
    return scores


def _flatten(intervals: dict[tuple[str, str], Interval]) -> dict[str, float]:
    """Name each number: test_accuracy, test_accuracy_low, …; those of baselines with a prefix, without bounds."""
    metrics = {
        f"{'' if model == MODEL else f'baseline_{model}_'}test_{metric}": interval.value
        for (model, metric), interval in intervals.items()
    }
    for (model, metric), interval in intervals.items():
        if model == MODEL and interval.low <= interval.high:  # not of a single group
            metrics |= {f"test_{metric}_low": interval.low, f"test_{metric}_high": interval.high}
    return metrics


def _about_certainty(predictions: pd.DataFrame, calibration: Calibration) -> dict[str, float]:
    """What scaling changed, and what abstaining buys."""
    y_true, probabilities = y_true_and_probabilities(predictions)
    raw = classification_metrics(y_true, scale_temperature(probabilities, 1 / calibration.temperature))
    metrics = {f"uncalibrated_test_{name}": raw[name] for name in BEFORE_SCALING}
    right, given = predictions["correct"].to_numpy(), ~predictions["abstained"].to_numpy()
    metrics["test_accuracy_surest_80"] = surest_accuracy(right, predictions["probability"].to_numpy(), 0.8)
    metrics["test_abstained"] = float(1 - given.mean())
    if given.any():
        metrics["test_accuracy_answered"] = float(right[given].mean())
    return metrics


def _tell(intervals: dict[tuple[str, str], Interval]) -> None:
    beside = ", ".join(
        f"{model} {interval.value:.3f}"
        for (model, metric), interval in intervals.items()
        if metric == "accuracy" and model != MODEL
    )
    ours, area = intervals[MODEL, "accuracy"], intervals[MODEL, "roc_auc"].value
    message = "Test accuracy %.3f, 95 %% interval %.3f to %.3f (beside it: %s), ROC AUC %.3f"
    logger.info(message, ours.value, ours.low, ours.high, beside, area)
