"""What the trained model is worth on pictures it has never seen, beside what takes no network at all."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.baselines import histogram_baseline, majority_baseline
from goodbad_pipeline.evaluation.calibration import fit_calibration
from goodbad_pipeline.evaluation.decision import Calibration, scale_temperature
from goodbad_pipeline.evaluation.explanations import border_share, enlarge, mask_centre, overlay
from goodbad_pipeline.evaluation.fairness import check_sensitive, fairness_table
from goodbad_pipeline.evaluation.figures import (
    class_colours,
    confusion_matrix_figure,
    contact_sheet,
    metrics_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
    slices_figure,
)
from goodbad_pipeline.evaluation.findings import list_findings
from goodbad_pipeline.evaluation.leakage import find_leaks
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
    chosen_classes,
    predicted_classes,
    prediction_table,
    truth_and_probabilities,
)
from goodbad_pipeline.evaluation.resampling import Interval, resample_groups
from goodbad_pipeline.evaluation.shortcut import file_features, shortcut_baseline
from goodbad_pipeline.evaluation.slices import slice_table, slice_values
from goodbad_pipeline.evaluation.sums import log_losses
from goodbad_pipeline.images.exif import find_exif
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import EvaluationParams, ImageParams

logger = logging.getLogger(__name__)

MODEL = "model"
SHEET_PICTURES = 24
EXPLAINED_PICTURES = 2000
BEFORE_SCALING = ("log_loss", "brier", "ece")


def predict_validation(model: Any, pixels: Pixels, splits: pd.DataFrame) -> pd.DataFrame:
    """Ask the model about every validation picture; its probabilities stay as they are."""
    return _predict(model, pixels, splits, "validation", Calibration(class_names(splits)))


def calibrate_model(validation_predictions: pd.DataFrame, evaluation: EvaluationParams) -> dict[str, Any]:
    """Learn from validation how to read the model: temperature, threshold, and when to abstain."""
    names = predicted_classes(validation_predictions)
    calibration = fit_calibration(
        *truth_and_probabilities(validation_predictions),
        names,
        resample_groups(validation_predictions["group"], evaluation.replicates, evaluation.seed),
        choose_threshold=evaluation.choose_threshold,
        abstain_at_error=evaluation.abstain_at_error,
    )
    logger.info(
        "From validation: temperature %.3f, threshold %s, abstain below %s",
        calibration.temperature,
        calibration.threshold,
        calibration.abstain_below,
    )
    return calibration.to_dict()


def predict_test(model: Any, pixels: Pixels, splits: pd.DataFrame, calibration: dict[str, Any]) -> pd.DataFrame:
    """Ask the model about every test picture, once."""
    return _predict(model, pixels, splits, "test", Calibration.from_dict(calibration))


def _predict(model: Any, pixels: Pixels, splits: pd.DataFrame, split: str, calibration: Calibration) -> pd.DataFrame:
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415 - imports Keras

    part = splits[splits["split"] == split]
    return prediction_table(part, predict(model, pixels.array, pixels.rows(part["image_id"])), calibration)


def predict_baselines(
    pixels: Pixels, splits: pd.DataFrame, images: ImageParams, evaluation: EvaluationParams
) -> pd.DataFrame:
    """Ask the majority class, the colours and the bare files the same; column ``baseline`` says whose answer it is."""
    names = class_names(splits)
    train, test = splits[splits["split"] == "train"], splits[splits["split"] == "test"]
    truth = train["label"].map(names.index).to_numpy("int64")
    train_pixels, test_pixels = (pixels.array[pixels.rows(part["image_id"])] for part in (train, test))
    files = [file_features(part, find_exif(Path(images.root), part["path"].tolist())) for part in (train, test)]
    answers = {
        "majority": majority_baseline(truth, len(test), len(names)),
        "histogram": histogram_baseline(train_pixels, truth, test_pixels, len(names), evaluation.seed),
        "shortcut": shortcut_baseline(files[0], truth, files[1], len(names), evaluation.seed),
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
    """Measure the model and, on the same pictures, the baselines.

    Returns:
        Metrics, a comparison, metrics with their intervals (column ``model`` says whose), and a table per class.
    """
    names = predicted_classes(test_predictions)
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    intervals = []
    for name, answers in _by_model(test_predictions, baseline_predictions).items():
        truth, probabilities = truth_and_probabilities(answers)
        measured = resampled_metrics(truth, probabilities, resamples, names, chosen_classes(answers))
        intervals.append(interval_table(measured, truth, resamples).assign(model=name))
    table = pd.concat(intervals, ignore_index=True)[["model", "metric", "value", "low", "high"]]
    bounds = read_intervals(table)
    _tell(bounds)
    metrics = _flatten(bounds) | _about_certainty(test_predictions, Calibration.from_dict(calibration))
    metrics |= {"test_images": float(len(test_predictions)), "test_groups": float(resamples.groups)}
    per_class = per_class_metrics(
        *truth_and_probabilities(test_predictions), names, resamples, chosen_classes(test_predictions)
    )
    return metrics, comparison_table(_by_metric(bounds)), table, per_class


def measure_slices(
    test_predictions: pd.DataFrame, splits: pd.DataFrame, evaluation: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame, Figure]:
    """Measure accuracy on every value of every column, and how far apart the values of sensitive columns fare."""
    test = splits[splits["split"] == "test"]
    check_sensitive(evaluation.sensitive, test)
    values = slice_values(test.reset_index(drop=True))
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    slices = slice_table(values, test_predictions["correct"].to_numpy(), resamples)
    sensitive = values[[name for name in evaluation.sensitive if name in values.columns]]
    gaps = fairness_table(
        sensitive,
        test_predictions["label"],
        test_predictions["predicted"],
        resamples,
        predicted_classes(test_predictions),
    )
    for row in gaps.itertuples(index=False):
        logger.info("Gap in %s by %s: %.3f (%s to %s)", row.measure, row.column, row.gap, row.lowest, row.highest)
    return slices, gaps, slices_figure(slices, float(test_predictions["correct"].mean()))


def find_problems(
    splits: pd.DataFrame,
    metric_intervals: pd.DataFrame,
    per_class_metrics: pd.DataFrame,
    slices: pd.DataFrame,
    explanation_metrics: dict[str, float],
) -> list[dict[str, str]]:
    """Say what a reader must know before believing the numbers: each finding with a code and a sentence."""
    blind = explanation_metrics["test_accuracy_centre_masked"]
    findings = list_findings(find_leaks(splits), metric_intervals, per_class_metrics, slices, blind)
    for finding in findings:
        logger.warning("%s: %s", finding["code"], finding["text"])
    return findings


def draw_evaluation(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    comparison: pd.DataFrame,
    calibration: dict[str, Any],
) -> tuple[Figure, Figure, Figure, Figure, Figure]:
    """Draw the confusion matrix, ROC and precision-recall curves, the metrics beside the baselines, and reliability."""
    names = predicted_classes(test_predictions)
    models = _by_model(test_predictions, baseline_predictions)
    truth, probabilities = truth_and_probabilities(test_predictions)
    curves = {name: truth_and_probabilities(answers)[1] for name, answers in models.items()}
    temperature = calibration["temperature"]
    return (
        confusion_matrix_figure(truth, probabilities, names, chosen_classes(test_predictions)),
        roc_figure(truth, curves, names),
        precision_recall_figure(truth, curves, names),
        metrics_figure(comparison),
        reliability_figure(truth, scale_temperature(probabilities, 1 / temperature), probabilities, temperature),
    )


def draw_mistakes(test_predictions: pd.DataFrame, pixels: Pixels) -> tuple[Figure, Figure]:
    """Show the wrong answers that the model was surest of, and the pictures whose class it thought least likely."""
    wrong = test_predictions[~test_predictions["correct"]]
    surest = wrong.nlargest(SHEET_PICTURES, "probability")
    truth, probabilities = truth_and_probabilities(test_predictions)
    loss = pd.Series(log_losses(truth, probabilities), index=test_predictions.index).nlargest(SHEET_PICTURES)
    lost = test_predictions.loc[loss.index]
    captions = [f"{row.label}, called {row.predicted}\n{row.probability:.0%} sure" for row in surest.itertuples()]
    losses = [
        f"{label}, called {predicted}\nloss {value:.2f}"
        for label, predicted, value in zip(lost["label"], lost["predicted"], loss, strict=True)
    ]
    title = f"Surest mistakes of the test split: {len(surest)} of {len(wrong)} shown"
    return (
        _sheet(surest, pixels, captions, predicted_classes(test_predictions), title),
        _sheet(lost, pixels, losses, predicted_classes(test_predictions), "Greatest losses of the test split"),
    )


def explain_predictions(
    model: Any, test_predictions: pd.DataFrame, pixels: Pixels, images: ImageParams, evaluation: EvaluationParams
) -> tuple[Figure, dict[str, float]]:
    """Show what speaks for right and for wrong answers, and measure how much of it is in the picture's middle."""
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415 - imports Keras
    from goodbad_pipeline.training.gradcam import explain  # noqa: PLC0415 - imports Keras

    seen = test_predictions
    if len(seen) > EXPLAINED_PICTURES:
        seen = seen.sample(EXPLAINED_PICTURES, random_state=evaluation.seed)
    names, chosen = predicted_classes(seen), chosen_classes(seen)
    array = np.asarray(pixels.array[pixels.rows(seen["image_id"])])
    rows = np.arange(len(seen))
    heat = enlarge(explain(model, array, rows, chosen), array.shape[1])
    blind = predict(model, mask_centre(array, images.background), rows).argmax(axis=1)
    truth = seen["label"].map(names.index).to_numpy()
    measured = {
        "test_gradcam_border_share": float(np.nanmean(border_share(heat))),
        "test_accuracy_centre_masked": float((blind == truth).mean()),
    }
    logger.info(
        "Grad-CAM: %.0f %% of the mass on the border, 44 %% if it looked everywhere; accuracy without the centre %.3f",
        100 * measured["test_gradcam_border_share"],
        measured["test_accuracy_centre_masked"],
    )
    return _explanation_sheet(seen.reset_index(drop=True), array, heat, names), measured


def _explanation_sheet(seen: pd.DataFrame, array: Any, heat: Any, names: list[str]) -> Figure:
    half = SHEET_PICTURES // 2
    right, wrong = (seen[seen["correct"] == correct].nlargest(half, "probability") for correct in (True, False))
    shown = pd.concat([right, wrong])
    places = shown.index.to_numpy()
    pairs = np.concatenate([array[places], overlay(array[places], heat[places])], axis=2)
    captions = [f"{row.label}, called {row.predicted}, {row.probability:.0%} sure" for row in shown.itertuples()]
    frames = [class_colours(names)[label] for label in shown["label"]]
    title = f"What speaks for the answer (Grad-CAM): {len(right)} right ones, then {len(wrong)} wrong ones"
    return contact_sheet(pairs, captions, columns=4, title=title, frames=frames)


def _sheet(shown: pd.DataFrame, pixels: Pixels, captions: list[str], names: list[str], title: str) -> Figure:
    pictures = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    frames = [class_colours(names)[label] for label in shown["label"]]
    return contact_sheet(pictures, captions, columns=6, title=title, frames=frames)


def _by_model(test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of predictions by model, ours first."""
    baselines = {str(name): part for name, part in baseline_predictions.groupby("baseline", sort=False)}
    return {MODEL: test_predictions, **baselines}


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
    truth, probabilities = truth_and_probabilities(predictions)
    raw = classification_metrics(truth, scale_temperature(probabilities, 1 / calibration.temperature))
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
