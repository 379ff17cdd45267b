"""Figures of the evaluation: curves, mistakes, and what the model looks at."""

from __future__ import annotations

import logging
from typing import Any

import lazy_loader as lazy
import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.decision import Calibration, scale_temperature
from goodbad_pipeline.evaluation.explanations import border_share, enlarge, mask_centre, overlay
from goodbad_pipeline.evaluation.metrics import log_losses
from goodbad_pipeline.evaluation.predictions import (
    by_model,
    chosen_classes,
    predicted_classes,
    y_true_and_probabilities,
)
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.params import EvaluationParams, ImageParams

logger = logging.getLogger(__name__)
batches = lazy.load("goodbad_pipeline.training.batches", suppress_warning=True)
gradcam = lazy.load("goodbad_pipeline.training.gradcam", suppress_warning=True)

SHEET_IMAGES = 24
EXPLAINED_IMAGES = 2000


def draw_evaluation(
    test_predictions: pd.DataFrame,
    baseline_predictions: pd.DataFrame,
    comparison: pd.DataFrame,
    calibration: dict[str, Any],
) -> tuple[figures.Figure, figures.Figure, figures.Figure, figures.Figure, figures.Figure]:
    """Draw the confusion matrix, ROC and precision-recall curves, the metrics beside the baselines, and reliability."""
    names = predicted_classes(test_predictions)
    models = by_model(test_predictions, baseline_predictions)
    y_true, probabilities = y_true_and_probabilities(test_predictions)
    curves = {name: y_true_and_probabilities(answers)[1] for name, answers in models.items()}
    temperature = calibration["temperature"]
    return (
        figures.confusion_matrix_figure(y_true, probabilities, names, chosen_classes(test_predictions)),
        figures.roc_figure(y_true, curves, names),
        figures.precision_recall_figure(y_true, curves, names),
        figures.metrics_figure(comparison),
        figures.reliability_figure(
            y_true, scale_temperature(probabilities, 1 / temperature), probabilities, temperature
        ),
    )


def draw_mistakes(test_predictions: pd.DataFrame, pixels: Pixels) -> tuple[figures.Figure, figures.Figure]:
    """Show the wrong answers that the model was surest of, and the images whose class it thought least likely."""
    wrong = test_predictions[~test_predictions["correct"]]
    surest = wrong.nlargest(SHEET_IMAGES, "probability")
    y_true, probabilities = y_true_and_probabilities(test_predictions)
    loss = pd.Series(log_losses(y_true, probabilities), index=test_predictions.index).nlargest(SHEET_IMAGES)
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
    model: Any,
    test_predictions: pd.DataFrame,
    pixels: Pixels,
    calibration: dict[str, Any],
    images: ImageParams,
    evaluation: EvaluationParams,
) -> tuple[figures.Figure, dict[str, float]]:
    """Show what speaks for right and for wrong answers, and measure how much of it is in the image's middle.

    Of many test images a random part is taken; accuracy with the centre and without is of the same ones, with answers
    chosen alike.
    """
    seen = test_predictions
    if len(seen) > EXPLAINED_IMAGES:
        seen = seen.sample(EXPLAINED_IMAGES, random_state=evaluation.seed)
    names, chosen = predicted_classes(seen), chosen_classes(seen)
    array = np.asarray(pixels.array[pixels.rows(seen["image_id"])])
    rows = np.arange(len(seen))
    heat = enlarge(gradcam.explain(model, array, rows, chosen), array.shape[1])
    reading = Calibration.from_dict(calibration)
    blind = reading.choose(reading.calibrate(batches.predict(model, mask_centre(array, images.background), rows)))
    y_true = seen["label"].map(names.index).to_numpy()
    measured = {
        "test_gradcam_border_share": float(np.nanmean(border_share(heat))),
        "test_accuracy_centre_masked": float((blind == y_true).mean()),
        "test_accuracy_centre_shown": float(seen["correct"].mean()),
    }
    logger.info(
        "Grad-CAM: %.0f %% of the mass on the border, 44 %% if it looked everywhere; "
        "accuracy without the centre %.3f, with it %.3f",
        100 * measured["test_gradcam_border_share"],
        measured["test_accuracy_centre_masked"],
        measured["test_accuracy_centre_shown"],
    )
    return _explanation_sheet(seen.reset_index(drop=True), array, heat, names), measured


def _explanation_sheet(seen: pd.DataFrame, array: Any, heat: Any, names: list[str]) -> figures.Figure:
    half = SHEET_IMAGES // 2
    right, wrong = (seen[seen["correct"] == correct].nlargest(half, "probability") for correct in (True, False))
    shown = pd.concat([right, wrong])
    places = shown.index.to_numpy()
    pairs = np.concatenate([array[places], overlay(array[places], heat[places])], axis=2)
    captions = [f"{row.label}, called {row.predicted}\n{row.probability:.0%} sure" for row in shown.itertuples()]
    frames = [figures.class_colours(names)[label] for label in shown["label"]]
    title = f"What speaks for the answer (Grad-CAM): {len(right)} right ones, then {len(wrong)} wrong ones"
    return figures.contact_sheet(pairs, captions, columns=4, title=title, frames=frames)


def _sheet(shown: pd.DataFrame, pixels: Pixels, captions: list[str], names: list[str], title: str) -> figures.Figure:
    shown_pixels = np.asarray(pixels.array[pixels.rows(shown["image_id"])])
    frames = [figures.class_colours(names)[label] for label in shown["label"]]
    return figures.contact_sheet(shown_pixels, captions, columns=6, title=title, frames=frames)
