"""What the decision rests on: the champion on the same images, and the registered copy on the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.bootstrap import Resamples, resample_groups
from goodbad_pipeline.evaluation.comparison import (
    PAIRED_COLUMNS,
    Answers,
    compare_slices,
    measure_ece_rise,
    measure_gain,
)
from goodbad_pipeline.evaluation.metrics import classification_metrics
from goodbad_pipeline.evaluation.predictions import chosen_classes, predicted_classes, y_true_and_probabilities
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
    """Compare the champion's answers with the new model's, row by row the same images.

    Args:
        champion: What is known of it.
        champion_predictions: Its answers, to the test images that it has not seen.
        test_predictions: The new model's, to all of them.
        splits: The images.
        metric: Which decides.
        evaluation: How intervals are drawn.

    Returns:
        The champion, None where there is none, and both models' accuracy by slice, empty where they cannot be compared.
    """
    if champion["version"] is None:
        return None, NO_SLICES
    if champion.get("incomparable"):
        return Champion(**champion), NO_SLICES
    test_predictions = on_same_images(test_predictions, champion_predictions)
    splits = on_same_images(splits[splits["split"] == "test"], champion_predictions)
    resamples = resample_groups(test_predictions["group"], evaluation.replicates, evaluation.seed)
    y_true, probabilities = y_true_and_probabilities(champion_predictions)
    ours, theirs = (_answers(table) for table in (test_predictions, champion_predictions))
    gain = measure_gain(y_true, ours, theirs, resamples, metric, evaluation.seed)
    slices = _slices(test_predictions, champion_predictions, splits, resamples)
    names = predicted_classes(champion_predictions)
    beside = Champion(
        **champion,
        score=gain.champion,
        p_value=gain.p_value,
        ece=classification_metrics(y_true, probabilities, names)["ece"],
        same_answers=bool((ours.chosen == theirs.chosen).all()),
        drops=_drops(slices),
        ece_rise=measure_ece_rise(y_true, ours, theirs, resamples).low,
    )
    return beside, slices


def on_same_images(images: pd.DataFrame, champion_predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of those images that the champion was asked about, in their order."""
    return images[images["image_id"].isin(champion_predictions["image_id"])].reset_index(drop=True)


def measure_beside(
    champion_predictions: pd.DataFrame, test_predictions: pd.DataFrame, test_metrics: dict[str, float], metric: str
) -> tuple[float, float]:
    """Return the new model's metric and calibration error: on all test images, or on those the champion was asked."""
    same = on_same_images(test_predictions, champion_predictions)
    if len(same) in (0, len(test_predictions)):
        return test_metrics[f"test_{metric}"], test_metrics["test_ece"]
    measured = classification_metrics(*y_true_and_probabilities(same), chosen=chosen_classes(same))
    return measured[metric], measured["ece"]


def measure_parity(classifier: Classifier, predictions: pd.DataFrame, root: Path) -> float:
    """Ask a registered copy about the files themselves, and compare with what was evaluated.

    Args:
        classifier: The copy, as loaded from the registry.
        predictions: Rows of the test predictions.
        root: Folder that their paths are relative to.

    Returns:
        Largest difference of a probability; infinite where a file is refused.
    """
    answers = classifier.classify([(root / path).read_bytes() for path in predictions["path"]])
    if answers["label"].isna().any():
        return float("inf")
    names = predicted_classes(predictions)
    theirs = np.array([[row[name] for name in names] for row in answers["probabilities"]])
    return float(np.abs(theirs - y_true_and_probabilities(predictions)[1]).max())


def _answers(predictions: pd.DataFrame) -> Answers:
    return Answers(y_true_and_probabilities(predictions)[1], chosen_classes(predictions))


def _slices(ours: pd.DataFrame, theirs: pd.DataFrame, splits: pd.DataFrame, resamples: Resamples) -> pd.DataFrame:
    values = slice_values(splits)
    return compare_slices(values, ours["correct"].to_numpy(), theirs["correct"].to_numpy(), resamples)


def _drops(slices: pd.DataFrame) -> tuple[SliceDrop, ...]:
    lower = slices[slices["high"] < 0]
    rows = zip(lower["column"], lower["value"], lower["images"], lower["difference"], strict=True)
    return tuple(SliceDrop(str(column), str(value), int(size), -float(gap)) for column, value, size, gap in rows)
