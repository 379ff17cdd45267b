"""Nodes that draw the evaluation: curves, mistakes, explanations."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.decision import Calibration, scale_temperature
from goodbad_pipeline.evaluation.explanations import border_share, enlarge, mask_centre
from goodbad_pipeline.evaluation.metrics import log_losses
from goodbad_pipeline.evaluation.predictions import predictions_by_model, read_predictions
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.params import EvaluationParams, ImageParams

logger = logging.getLogger(__name__)
batches = lazy.load("goodbad_pipeline.training.batches")
gradcam = lazy.load("goodbad_pipeline.training.gradcam")

SHEET_IMAGES = 24
EXPLAINED_IMAGES = 2000


def draw_evaluation(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    comparison: pd.DataFrame,
    calibration: dict[str, Any],
) -> tuple[figures.Figure, figures.Figure, figures.Figure, figures.Figure, figures.Figure]:
    """Draw confusion matrix, ROC and precision-recall curves, metrics against baselines, and reliability."""
    model = read_predictions(test_predictions)
    y_true, names, temperature = model.y_true, model.class_names, calibration["temperature"]
    curves = {
        name: one.probabilities for name, one in predictions_by_model(test_predictions, baseline_predictions).items()
    }
    uncalibrated = scale_temperature(model.probabilities, 1 / temperature)
    return (
        figures.confusion_matrix_figure(y_true, model.probabilities, names, model.predicted),
        figures.roc_figure(y_true, curves, names),
        figures.precision_recall_figure(y_true, curves, names),
        figures.metrics_figure(comparison),
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
        _sheet(confident, pixels, _captions(confident), model.class_names, title),
        _sheet(worst, pixels, captions, model.class_names, "Highest losses of the test split"),
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

    At most `EXPLAINED_IMAGES` random test images are used, the same ones for all metrics.
    """
    sample = test_predictions
    if len(sample) > EXPLAINED_IMAGES:
        sample = sample.sample(EXPLAINED_IMAGES, random_state=evaluation.seed)
    predictions = read_predictions(sample)
    array = np.asarray(pixels.array[pixels.rows(sample["image_id"])])
    rows = np.arange(len(sample))
    heat = enlarge(gradcam.explain(model, array, rows, predictions.predicted), array.shape[1])
    decision = Calibration.from_dict(calibration)
    masked = batches.predict(model, mask_centre(array, images.background), rows)
    masked_predicted = decision.predict(decision.calibrate(masked))
    unmasked_accuracy = float(sample["correct"].mean())
    metrics = {
        "test_gradcam_border_share": float(np.nanmean(border_share(heat))),
        "test_accuracy_centre_masked": float((masked_predicted == predictions.y_true).mean()),
        "test_accuracy_centre_unmasked": unmasked_accuracy,
        "test_accuracy_centre_shown": unmasked_accuracy,  # the name until 0.1, kept as an alias
    }
    logger.info(
        "Grad-CAM: %.0f %% of the mass is on the border (uniform: 44 %%); accuracy with the centre masked %.3f, "
        "unmasked %.3f",
        100 * metrics["test_gradcam_border_share"],
        metrics["test_accuracy_centre_masked"],
        unmasked_accuracy,
    )
    return _explanation_sheet(sample.reset_index(drop=True), array, heat, predictions.class_names), metrics


def _explanation_sheet(sample: pd.DataFrame, array: Any, heat: Any, names: Any) -> figures.Figure:
    half = SHEET_IMAGES // 2
    correct, wrong = (sample[sample["correct"] == part].nlargest(half, "probability") for part in (True, False))
    shown = pd.concat([correct, wrong])
    rows = shown.index.to_numpy()
    pairs = np.concatenate([array[rows], figures.overlay(array[rows], heat[rows])], axis=2)
    frames = [figures.class_colours(names)[label] for label in shown["label"]]
    title = f"Evidence for the predicted class (Grad-CAM): {len(correct)} correct, then {len(wrong)} wrong predictions"
    return figures.contact_sheet(pairs, _captions(shown), columns=4, title=title, frames=frames)


def _captions(shown: pd.DataFrame) -> list[str]:
    return [f"{row.label}, predicted {row.predicted}\nprobability {row.probability:.0%}" for row in shown.itertuples()]


def _sheet(shown: pd.DataFrame, pixels: Pixels, captions: list[str], names: Any, title: str) -> figures.Figure:
    shown_pixels = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    frames = [figures.class_colours(names)[label] for label in shown["label"]]
    return figures.contact_sheet(shown_pixels, captions, columns=6, title=title, frames=frames)
