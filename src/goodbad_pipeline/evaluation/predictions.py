"""Predictions of a classifier: array types, a check of probabilities, and the table that stores predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration, FloatArray

IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]
PixelArray = NDArray[np.uint8]

MODEL = "model"
"""Name of the evaluated model in tables that also hold baselines."""
BASELINES = {"majority": "majority class", "histogram": "colour histogram", "shortcut": "file properties"}
"""The display name of each baseline, by its name in tables and metrics."""
PREFIX = "probability_"
ROW_SUM_TOLERANCE = 1e-2
"""How far the sum of a row may be from 1. Rounding to half precision shifts the sum by some thousandths only."""


@dataclass(frozen=True)
class Predictions:
    """Calibrated predictions of one model on labelled images.

    ``y_true`` and ``predicted`` (n,) hold class indices; the rows of ``probabilities`` (n, k), float64, sum to 1.
    """

    class_names: Sequence[str]
    y_true: IntArray
    probabilities: FloatArray
    predicted: IntArray


def prediction_table(images: pd.DataFrame, probabilities: FloatArray, calibration: Calibration) -> pd.DataFrame:
    """Return predictions and labels as a table.

    ``images`` has image_id, path, label and group. ``probabilities`` (n, k) are uncalibrated, with rows in the order of
    ``images`` and columns in the order of ``calibration.class_names``.

    Returns:
        image_id, path, label, group, predicted, correct, probability (of the predicted class), abstained, then one
        column ``probability_<class>`` per class. All probabilities are calibrated. The table keeps ``images.attrs``.
    """
    class_names = list(calibration.class_names)
    values = calibration.calibrate(probabilities)
    table = images[["image_id", "path", "label", "group"]].reset_index(drop=True)
    table = table.assign(
        predicted=np.array(class_names)[calibration.predict(values)],
        probability=calibration.confidence(values),
        abstained=calibration.abstain(values),
    )
    table.insert(5, "correct", table["predicted"] == table["label"])
    table = table.join(pd.DataFrame(values, columns=[f"{PREFIX}{name}" for name in class_names]))
    table.attrs = dict(images.attrs)
    return table


def read_predictions(table: pd.DataFrame) -> Predictions:
    """Return the arrays of a table that `prediction_table` made."""
    columns = [name for name in table.columns if name.startswith(PREFIX)]
    names = [name.removeprefix(PREFIX) for name in columns]
    y_true, predicted = (table[name].map(names.index).to_numpy("int64") for name in ("label", "predicted"))
    return Predictions(names, y_true, table[columns].to_numpy("float64"), predicted)


def probabilities_by_model(table: pd.DataFrame, baseline_table: pd.DataFrame) -> dict[str, FloatArray]:
    """Return the probabilities of the evaluated model and of each baseline by display name, such as majority class."""
    models = predictions_by_model(table, baseline_table)
    return {BASELINES.get(name, name): one.probabilities for name, one in models.items()}


def predictions_by_model(table: pd.DataFrame, baseline_table: pd.DataFrame) -> dict[str, Predictions]:
    """Return predictions by model, the evaluated model first; ``baseline_table`` has a column ``baseline``."""
    baselines = {str(name): part for name, part in baseline_table.groupby("baseline", sort=False)}
    return {name: read_predictions(part) for name, part in {MODEL: table, **baselines}.items()}


def check_probabilities(probabilities: FloatArray) -> FloatArray:
    """Return the probabilities (n, k) as float64, with each row divided by its sum.

    Raises:
        InputError: A row has a value outside [0, 1], or its sum differs from 1 by more than `ROW_SUM_TOLERANCE`.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    sums = values.sum(axis=1, keepdims=True)
    # Negated comparisons also catch NaN. A row that sums to 1 without negative values has no value above 1.
    wrong = ~(np.abs(sums[:, 0] - 1) <= ROW_SUM_TOLERANCE) | ~(values >= 0).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        example = np.array2string(values[first], precision=3, threshold=6)
        raise InputError(
            f"probabilities: {int(wrong.sum())} of {len(values)} rows have values outside [0, 1] or do not "
            f"sum to 1; the first of them, row {first}, is {example}: give softmax outputs, without NaN"
        )
    return values / sums
