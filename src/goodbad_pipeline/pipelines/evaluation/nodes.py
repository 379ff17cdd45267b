"""What the trained model is worth on pictures it has never seen, beside what takes no network at all."""

import logging
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.baselines import histogram_baseline, majority_baseline
from goodbad_pipeline.evaluation.figures import (
    class_colours,
    confusion_matrix_figure,
    contact_sheet,
    metrics_figure,
    roc_figure,
)
from goodbad_pipeline.evaluation.metrics import classification_metrics, comparison_table, per_class_metrics
from goodbad_pipeline.evaluation.predictions import predicted_classes, prediction_table, truth_and_probabilities
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import EvaluationParams

logger = logging.getLogger(__name__)

MODEL = "model"
SHEET_MISTAKES = 24


def predict_test(model: Any, pixels: Pixels, splits: pd.DataFrame) -> pd.DataFrame:
    """Ask the model about every test picture, once."""
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415 - imports Keras

    test = splits[splits["split"] == "test"]
    probabilities = predict(model, pixels.array, pixels.rows(test["image_id"]))
    return prediction_table(test, probabilities.astype("float64"), class_names(splits))


def predict_baselines(pixels: Pixels, splits: pd.DataFrame, evaluation: EvaluationParams) -> pd.DataFrame:
    """Ask the majority class and the colour histogram the same; column ``baseline`` says whose answer a row is."""
    names = class_names(splits)
    train, test = splits[splits["split"] == "train"], splits[splits["split"] == "test"]
    truth = train["label"].map(names.index).to_numpy("int64")
    train_pixels, test_pixels = (pixels.array[pixels.rows(part["image_id"])] for part in (train, test))
    answers = {
        "majority": majority_baseline(truth, len(test), len(names)),
        "histogram": histogram_baseline(train_pixels, truth, test_pixels, len(names), evaluation.seed),
    }
    tables = [prediction_table(test, answer, names).assign(baseline=name) for name, answer in answers.items()]
    return pd.concat(tables, ignore_index=True)


def evaluate_predictions(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Measure the model and, on the same pictures, the baselines: metrics, comparison, and a table per class."""
    names = predicted_classes(test_predictions)
    scores = {MODEL: classification_metrics(*truth_and_probabilities(test_predictions), names)}
    for name, answers in baseline_predictions.groupby("baseline", sort=False):
        scores[str(name)] = classification_metrics(*truth_and_probabilities(answers), names)
    metrics = {
        f"{'' if name == MODEL else f'baseline_{name}_'}test_{metric}": value
        for name, values in scores.items()
        for metric, value in values.items()
    }
    beside = ", ".join(f"{name} {values['accuracy']:.3f}" for name, values in scores.items() if name != MODEL)
    ours = scores[MODEL]
    logger.info("Test accuracy %.3f (beside it: %s), ROC AUC %.3f", ours["accuracy"], beside, ours["roc_auc"])
    per_class = per_class_metrics(*truth_and_probabilities(test_predictions), names)
    return metrics, comparison_table(scores), per_class


def draw_evaluation(
    test_predictions: pd.DataFrame, baseline_predictions: pd.DataFrame, comparison: pd.DataFrame
) -> tuple[Figure, Figure, Figure]:
    """Draw the confusion matrix, the ROC curves, and the metrics beside the baselines."""
    names = predicted_classes(test_predictions)
    truth, probabilities = truth_and_probabilities(test_predictions)
    curves = {MODEL: probabilities}
    for name, answers in baseline_predictions.groupby("baseline", sort=False):
        curves[str(name)] = truth_and_probabilities(answers)[1]
    return (
        confusion_matrix_figure(truth, probabilities, names),
        roc_figure(truth, curves, names),
        metrics_figure(comparison),
    )


def draw_mistakes(test_predictions: pd.DataFrame, pixels: Pixels) -> Figure:
    """Show the wrong answers that the model was surest of."""
    wrong = test_predictions[~test_predictions["correct"]].nlargest(SHEET_MISTAKES, "probability")
    pictures = pixels.array[pixels.rows(wrong["image_id"])]
    captions = [
        f"{row.label}, called {row.predicted}\n{row.probability:.0%} sure" for row in wrong.itertuples(index=False)
    ]
    colours = class_colours(predicted_classes(test_predictions))
    title = f"Surest mistakes of the test split: {len(wrong)} of {int((~test_predictions['correct']).sum())} shown"
    frames = [colours[label] for label in wrong["label"]]
    return contact_sheet(np.asarray(pictures), captions, columns=6, title=title, frames=frames)
