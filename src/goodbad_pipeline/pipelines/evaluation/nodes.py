"""Nodes that calibrate the model, compare it with baselines on the test split, and draw and explain the results."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.bootstrap import Interval, Resamples, resample_groups
from goodbad_pipeline.evaluation.calibration import ece_by_chance, fit_calibration
from goodbad_pipeline.evaluation.comparison import measure_rise
from goodbad_pipeline.evaluation.decision import Calibration, scale_temperature
from goodbad_pipeline.evaluation.findings import list_findings
from goodbad_pipeline.evaluation.metrics import (
    accuracy_at_coverage,
    classification_metrics,
    comparison_table,
    interval_table,
    log_losses,
    per_class_metrics,
    read_intervals,
    resampled_metrics,
)
from goodbad_pipeline.evaluation.predictions import (
    BASELINES,
    MODEL,
    prediction_table,
    predictions_by_model,
    probabilities_by_model,
    read_predictions,
)
from goodbad_pipeline.evaluation.slices import fairness_table, slice_table, slice_values, why_no_slices
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.reading import find_exif
from goodbad_pipeline.images.split_leakage import find_leaks
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.params import EvaluationParams, ImageParams
from goodbad_pipeline.registry.lineage import count_exposed_test_images
from goodbad_pipeline.tracking.run_record import labels_digest

logger = logging.getLogger(__name__)
baselines = lazy.load("goodbad_pipeline.evaluation.baselines")
batches = lazy.load("goodbad_pipeline.training.batches")
gradcam = lazy.load("goodbad_pipeline.training.gradcam")

UNCALIBRATED_METRICS = ("log_loss", "brier", "ece")
SHEET_IMAGES = 24
EXPLAINED_IMAGES = 2000
SMALLEST_MAP = 3  # cells per side; in a smaller heat map, the share of the border cannot vary, as each cell touches it


def calibrate_model(validation_predictions: pd.DataFrame, evaluation: EvaluationParams) -> dict[str, Any]:
    """Fit temperature, threshold and abstention on the validation split."""
    validation = read_predictions(validation_predictions)
    calibration = fit_calibration(
        validation.y_true,
        validation.probabilities,
        list(validation.class_names),
        resample_groups(validation_predictions["group"], evaluation.replicates, evaluation.seed),
        choose_threshold=evaluation.choose_threshold,
        abstain_at_error=evaluation.abstain_at_error,
    )
    threshold, cut = calibration.threshold, calibration.abstain_below
    logger.info(
        "Calibrated on validation: temperature %.3f, %s, %s",
        calibration.temperature,
        "no threshold" if threshold is None else f"threshold {threshold:.3f}",
        "never abstains" if cut is None else f"abstains below {cut:.3f}",
    )
    return calibration.to_dict()


def predict_test(model: Any, pixels: Pixels, splits: pd.DataFrame, calibration: dict[str, Any]) -> pd.DataFrame:
    """Predict the test split, and calibrate the probabilities."""
    test = splits[splits["split"] == "test"]
    probabilities = batches.predict(model, pixels.array, pixels.rows(test["image_id"]))
    return prediction_table(test, probabilities, Calibration(**calibration))


def predict_baselines(
    pixels: Pixels, splits: pd.DataFrame, images: ImageParams, evaluation: EvaluationParams
) -> pd.DataFrame:
    """Predict the test split with every baseline; the column ``baseline`` holds the baseline's name."""
    names = class_names(splits)
    train, test = splits[splits["split"] == "train"], splits[splits["split"] == "test"]
    y_train = train["label"].map(names.index).to_numpy("int64")
    train_pixels, test_pixels = (pixels.array[pixels.rows(part["image_id"])] for part in (train, test))
    root = open_root(images.root)
    train_files, test_files = (
        baselines.file_features(part, find_exif(root, part["path"].tolist())) for part in (train, test)
    )
    classes, seed = len(names), evaluation.seed
    probabilities = {
        "majority": baselines.majority_baseline(y_train, len(test), classes),
        "histogram": baselines.histogram_baseline(train_pixels, y_train, test_pixels, classes, seed),
        "shortcut": baselines.shortcut_baseline(train_files, y_train, test_files, classes, seed),
    }
    tables = [
        prediction_table(test, values, Calibration(names)).assign(baseline=name)
        for name, values in probabilities.items()
    ]
    return pd.concat(tables, ignore_index=True)


def evaluate_predictions(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    calibration: dict[str, Any],
    evaluation: EvaluationParams,
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure the model and its baselines on the test split.

    Returns:
        The metrics, and three tables: comparison of the models, intervals of all models, metrics by class.
    """
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    models = predictions_by_model(test_predictions, baseline_predictions)
    tables = []
    for name, one in models.items():
        values = resampled_metrics(one.y_true, one.probabilities, resamples, one.class_names, one.predicted)
        tables.append(interval_table(values, one.y_true, resamples).assign(model=name))
    intervals = pd.concat(tables, ignore_index=True)[["model", "metric", "value", "low", "high"]]
    bounds = read_intervals(intervals)
    _log_accuracy(bounds)
    metrics = _flatten(bounds) | _certainty_metrics(test_predictions, Calibration(**calibration), resamples)
    metrics["test_ece_by_chance"] = ece_by_chance(models[MODEL].probabilities, resamples, evaluation.seed)
    metrics |= {"test_images": float(len(test_predictions)), "test_groups": float(resamples.groups)}
    return metrics, comparison_table(intervals), intervals, per_class_metrics(models[MODEL], resamples)


def measure_slices(
    test_predictions: pd.DataFrame, splits: pd.DataFrame, evaluation: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame, figures.Figure]:
    """Measure accuracy by slice, and the gaps of each sensitive column.

    A gap is the largest difference in accuracy, or in another rate of `fairness_table`, between two values of a column.
    """
    test = splits[splits["split"] == "test"]
    values = slice_values(test.reset_index(drop=True))
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    slices = slice_table(values, test_predictions["correct"].to_numpy(), resamples)
    for name in evaluation.sensitive:
        if name not in values.columns:
            reason = why_no_slices(test, name)
            logger.warning(
                "evaluation.sensitive: the gaps between the values of '%s' are not computed: %s", name, reason
            )
    gaps = fairness_table(
        values[[name for name in evaluation.sensitive if name in values.columns]],
        test_predictions["label"],
        test_predictions["predicted"],
        resamples,
        read_predictions(test_predictions).class_names,
    )
    for row in gaps[["measure", "column", "gap", "lowest", "highest"]].itertuples(index=False):
        logger.info("Gap in %s by %s: %.3f (lowest for %s, highest for %s)", *row)
    return slices, gaps, figures.slices_figure(slices, float(test_predictions["correct"].mean()))


def find_problems(
    splits: pd.DataFrame,
    metric_intervals: pd.DataFrame,
    per_class_metrics: pd.DataFrame,
    slices: pd.DataFrame,
    explanation_metrics: dict[str, float],
    test_metrics: dict[str, float],
    network: dict[str, Any],
    stored_review: pd.DataFrame | None,
) -> list[dict[str, str]]:
    """List and log the reasons to distrust the results, each with a code and a text.

    ``stored_review`` counts only if it is a review of these labels.
    """
    wrong_labels = None
    if stored_review is not None and stored_review.attrs["labels"] == labels_digest(splits):
        wrong_labels = Interval(*stored_review.attrs["wrong_share"])
    findings = list_findings(
        splits,
        find_leaks(splits, count_exposed_test_images(network)),
        metric_intervals,
        per_class_metrics,
        slices,
        masked_accuracy=explanation_metrics["test_accuracy_centre_masked"],
        unmasked_accuracy=explanation_metrics["test_accuracy_centre_shown"],
        test_metrics=test_metrics,
        wrong_labels=wrong_labels,
    )
    for finding in findings:
        logger.warning("%s: %s", finding["code"], finding["text"])
    return findings


def draw_evaluation(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    comparison: pd.DataFrame,
    calibration: dict[str, Any],
) -> tuple[figures.Figure, figures.Figure, figures.Figure, figures.Figure, figures.Figure]:
    """Draw confusion matrix, ROC and precision-recall curves, metrics against baselines, and reliability."""
    model = read_predictions(test_predictions)
    y_true, names, temperature = model.y_true, model.class_names, calibration["temperature"]
    curves = probabilities_by_model(test_predictions, baseline_predictions)
    uncalibrated = scale_temperature(model.probabilities, 1 / temperature)
    return (
        figures.confusion_matrix_figure(y_true, model.predicted, names),
        figures.roc_figure(y_true, curves, names),
        figures.precision_recall_figure(y_true, curves, names),
        figures.metrics_figure(comparison.rename(columns=BASELINES)),
        figures.reliability_figure(y_true, uncalibrated, model.probabilities, temperature),
    )


def draw_mistakes(test_predictions: pd.DataFrame, pixels: Pixels) -> tuple[figures.Figure, figures.Figure]:
    """Draw the most confident mistakes, and the images with the highest loss."""
    model = read_predictions(test_predictions)
    wrong = test_predictions[~test_predictions["correct"]]
    confident = wrong.nlargest(SHEET_IMAGES, "probability")
    losses = pd.Series(log_losses(model.y_true, model.probabilities), index=test_predictions.index)
    losses = losses.nlargest(SHEET_IMAGES)
    worst = test_predictions.loc[losses.index]
    captions = [
        f"{label}, predicted {predicted}\nloss {loss:.2f}"
        for label, predicted, loss in zip(worst["label"], worst["predicted"], losses, strict=True)
    ]
    title = f"Most confident mistakes of the test split: {len(confident)} of {len(wrong)}"
    return (
        _sheet(confident, pixels, _captions(confident), title),
        _sheet(worst, pixels, captions, "Highest losses of the test split"),
    )


def explain_predictions(
    model: Any,
    test_predictions: pd.DataFrame,
    pixels: Pixels,
    calibration: dict[str, Any],
    images: ImageParams,
    evaluation: EvaluationParams,
) -> tuple[figures.Figure, dict[str, float]]:
    """Draw Grad-CAM heat maps, and measure how much the predictions depend on the centre of the images.

    Heat maps and metrics use the same random test images, at most `EXPLAINED_IMAGES`.
    """
    sample = test_predictions
    if len(sample) > EXPLAINED_IMAGES:
        sample = sample.sample(EXPLAINED_IMAGES, random_state=evaluation.seed)
    predictions = read_predictions(sample)
    array = np.asarray(pixels.array[pixels.rows(sample["image_id"])])
    rows = np.arange(len(sample))
    maps = gradcam.explain(model, array, rows, predictions.predicted)
    heat = figures.enlarge(maps, array.shape[1])
    decision = Calibration(**calibration)
    masked = batches.predict(model, figures.mask_centre(array, images.background), rows)
    masked_predicted = decision.predict(decision.calibrate(masked))
    unmasked_accuracy = float(sample["correct"].mean())
    metrics = {
        "test_accuracy_centre_masked": float((masked_predicted == predictions.y_true).mean()),
        "test_accuracy_centre_unmasked": unmasked_accuracy,
        "test_accuracy_centre_shown": unmasked_accuracy,  # the name until 0.1, kept as an alias
    }
    border = figures.border_share(heat)[maps.any(axis=(1, 2))]
    if maps.shape[1] < SMALLEST_MAP:
        cells = maps.shape[1:]
        logger.info("Grad-CAM: heat on the border is not measured, because all %d × %d cells touch the border", *cells)
    elif not len(border):
        logger.info("Grad-CAM: heat on the border is not measured, because every heat map is empty")
    else:
        metrics["test_gradcam_border_share"] = share = float(border.mean())
        logger.info("Grad-CAM: %.0f %% of the heat is on the border (in a uniform map: 44 %%)", 100 * share)
    masked_accuracy = metrics["test_accuracy_centre_masked"]
    logger.info(
        "Accuracy if the centre of the images is masked: %.3f, if visible: %.3f", masked_accuracy, unmasked_accuracy
    )
    return _explanation_sheet(sample.reset_index(drop=True), array, heat), metrics


def _flatten(intervals: dict[tuple[str, str], Interval]) -> dict[str, float]:
    """Return metrics by name: test_accuracy, test_accuracy_low, …, and baseline_<name>_test_accuracy, …."""
    metrics = {
        f"{'' if model == MODEL else f'baseline_{model}_'}test_{metric}": interval.value
        for (model, metric), interval in intervals.items()
    }
    for (model, metric), interval in intervals.items():
        if model == MODEL and interval.low <= interval.high:  # False for NaN: a single group has no interval
            metrics |= {f"test_{metric}_low": interval.low, f"test_{metric}_high": interval.high}
    return metrics


def _certainty_metrics(table: pd.DataFrame, calibration: Calibration, resamples: Resamples) -> dict[str, float]:
    """Return metrics before calibration, by how much calibration raised the log loss, and metrics of abstention."""
    model = read_predictions(table)
    before = replace(model, probabilities=scale_temperature(model.probabilities, 1 / calibration.temperature))
    uncalibrated = classification_metrics(model.y_true, before.probabilities)
    metrics = {f"uncalibrated_test_{name}": uncalibrated[name] for name in UNCALIBRATED_METRICS}
    rise = measure_rise("log_loss", model, before, resamples)
    metrics["calibration_log_loss_rise"] = rise.value
    if rise.low <= rise.high:  # False for NaN: a single group has no interval
        metrics |= {"calibration_log_loss_rise_low": rise.low, "calibration_log_loss_rise_high": rise.high}
    correct, answered = table["correct"].to_numpy(), ~table["abstained"].to_numpy()
    metrics["test_accuracy_surest_80"] = accuracy_at_coverage(correct, table["probability"].to_numpy(), 0.8)
    metrics["test_abstained"] = float(1 - answered.mean())
    if answered.any():
        metrics["test_accuracy_answered"] = float(correct[answered].mean())
    return metrics


def _log_accuracy(intervals: dict[tuple[str, str], Interval]) -> None:
    baseline_accuracies = ", ".join(
        f"{BASELINES[model]} {interval.value:.3f}"
        for (model, metric), interval in intervals.items()
        if metric == "accuracy" and model != MODEL
    )
    accuracy, area = intervals[MODEL, "accuracy"], intervals[MODEL, "roc_auc"].value
    message = "Test accuracy %.3f, 95 %% interval %.3f to %.3f, ROC AUC %.3f; accuracy of the baselines: %s"
    logger.info(message, accuracy.value, accuracy.low, accuracy.high, area, baseline_accuracies)


def _explanation_sheet(sample: pd.DataFrame, array: Any, heat: Any) -> figures.Figure:
    half = SHEET_IMAGES // 2
    correct, wrong = (sample[sample["correct"] == part].nlargest(half, "probability") for part in (True, False))
    shown = pd.concat([correct, wrong])
    rows = shown.index.to_numpy()
    pairs = np.concatenate([array[rows], figures.overlay(array[rows], heat[rows])], axis=2)
    title = f"Evidence for the predicted class (Grad-CAM): {len(correct)} right, {len(wrong)} wrong"
    return _framed(pairs, _captions(shown), 4, title, shown["correct"])


def _captions(shown: pd.DataFrame) -> list[str]:
    return [f"{row.label}, predicted {row.predicted}\nprobability {row.probability:.0%}" for row in shown.itertuples()]


def _sheet(shown: pd.DataFrame, pixels: Pixels, captions: list[str], title: str) -> figures.Figure:
    shown_pixels = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    return _framed(shown_pixels, captions, 6, title, shown["correct"])


def _framed(shown: Any, captions: list[str], columns: int, title: str, correct: pd.Series) -> figures.Figure:
    frames = [figures.VERDICTS["right" if one else "wrong"] for one in correct]
    return figures.contact_sheet(shown, captions, columns, title, frames=frames, legend=figures.VERDICTS)
