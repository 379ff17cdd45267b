"""Evidence for the promotion: the champion on the same images, and the registered copy on the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.bootstrap import resample_groups
from goodbad_pipeline.evaluation.comparison import PAIRED_COLUMNS, compare_slices, measure_ece_rise, measure_gain
from goodbad_pipeline.evaluation.metrics import classification_metrics
from goodbad_pipeline.evaluation.predictions import read_predictions
from goodbad_pipeline.evaluation.promotion import Champion, SliceDrop
from goodbad_pipeline.evaluation.slices import slice_values
from goodbad_pipeline.params import EvaluationParams
from goodbad_pipeline.serving.classifier import Classifier

NO_SLICES = pd.DataFrame(columns=PAIRED_COLUMNS)


def measure_champion(
    champion: dict[str, Any],
    champion_predictions: pd.DataFrame,
    test_predictions: pd.DataFrame,
    splits: pd.DataFrame,
    metric: str,
    evaluation: EvaluationParams,
) -> tuple[Champion | None, pd.DataFrame]:
    """Compare the champion with the new model on the images that `compare_with_champion` predicted.

    Returns:
        The champion, None if there is none, and the accuracy of both by slice, empty if they cannot be compared.
    """
    if champion["version"] is None:
        return None, NO_SLICES
    facts = {"exposed" if name == "seen" else name: value for name, value in champion.items()}  # until 0.1: "seen"
    if champion.get("incomparable"):
        return Champion(**facts), NO_SLICES
    test_predictions = on_same_images(test_predictions, champion_predictions)
    test = on_same_images(splits[splits["split"] == "test"], champion_predictions)
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    new, old = read_predictions(test_predictions), read_predictions(champion_predictions)
    gain = measure_gain(new, old, resamples, metric, evaluation.seed)
    new_correct, old_correct = (table["correct"].to_numpy() for table in (test_predictions, champion_predictions))
    slices = compare_slices(slice_values(test), new_correct, old_correct, resamples)
    measured = Champion(
        **facts,
        score=gain.champion,
        p_value=gain.p_value,
        ece=classification_metrics(old.y_true, old.probabilities, old.class_names)["ece"],
        same_predictions=bool((new.predicted == old.predicted).all()),
        drops=_drops(slices),
        ece_rise=measure_ece_rise(new, old, resamples).low,
    )
    return measured, slices


def on_same_images(images: pd.DataFrame, champion_predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the images that the champion predicted, in their order."""
    return images[images["image_id"].isin(champion_predictions["image_id"])].reset_index(drop=True)


def measure_on_same_images(
    champion_predictions: pd.DataFrame, test_predictions: pd.DataFrame, test_metrics: dict[str, float], metric: str
) -> tuple[float, float]:
    """Return the new model's metric and calibration error on the images that the champion predicted, else on all."""
    same = on_same_images(test_predictions, champion_predictions)
    if len(same) in (0, len(test_predictions)):
        return test_metrics[f"test_{metric}"], test_metrics["test_ece"]
    model = read_predictions(same)
    metrics = classification_metrics(model.y_true, model.probabilities, predicted=model.predicted)
    return metrics[metric], metrics["ece"]


def measure_parity(classifier: Classifier, predictions: pd.DataFrame, root: Path) -> float:
    """Return the largest difference between a reloaded model's probabilities and the evaluated ones.

    It is infinite if a file is rejected. ``root`` is the folder of the paths in ``predictions``.
    """
    responses = classifier.classify([(root / path).read_bytes() for path in predictions["path"]])
    if responses["label"].isna().any():
        return float("inf")
    expected = read_predictions(predictions)
    actual = np.array([[row[name] for name in expected.class_names] for row in responses["probabilities"]])
    return float(np.abs(actual - expected.probabilities).max())


def _drops(slices: pd.DataFrame) -> tuple[SliceDrop, ...]:
    lower = slices[slices["high"] < 0]
    rows = zip(lower["column"], lower["value"], lower["images"], lower["difference"], strict=True)
    return tuple(SliceDrop(str(column), str(value), int(size), -float(gap)) for column, value, size, gap in rows)
