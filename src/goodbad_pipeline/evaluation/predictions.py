"""Predictions of a classifier: array types, checks of the arrays, and the table that stores them."""

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
PREFIX = "probability_"
ROW_SUM_TOLERANCE = 1e-2
"""How far a row sum may be from 1: in half precision it is off by some thousandths, with logits by far more."""


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

    ``images`` has image_id, path, label and group. ``probabilities`` (n, k) are uncalibrated; their rows are in the
    order of ``images``, their columns in the order of the calibration's classes.

    Returns:
        image_id, path, label, group, predicted, correct, probability (of the predicted class), abstained, then one
        column ``probability_<class>`` per class; all probabilities are calibrated.
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
    return table.join(pd.DataFrame(values, columns=[f"{PREFIX}{name}" for name in class_names]))


def read_predictions(table: pd.DataFrame) -> Predictions:
    """Return the arrays of a table that `prediction_table` made."""
    columns = [name for name in table.columns if name.startswith(PREFIX)]
    names = [name.removeprefix(PREFIX) for name in columns]
    y_true, predicted = (table[name].map(names.index).to_numpy("int64") for name in ("label", "predicted"))
    return Predictions(names, y_true, table[columns].to_numpy("float64"), predicted)


def predictions_by_model(table: pd.DataFrame, baseline_table: pd.DataFrame) -> dict[str, Predictions]:
    """Return predictions by model, the evaluated model first; ``baseline_table`` has a column ``baseline``."""
    baselines = {str(name): part for name, part in baseline_table.groupby("baseline", sort=False)}
    return {name: read_predictions(part) for name, part in {MODEL: table, **baselines}.items()}


def check_predictions(y_true: IntArray, probabilities: FloatArray) -> FloatArray:
    """Check the predictions; return the probabilities as float64, with each row divided by its sum.

    Args:
        y_true: (n,) class indices in [0, k), n ≥ 1.
        probabilities: (n, k) in [0, 1], k ≥ 2, each row summing to 1 within `ROW_SUM_TOLERANCE`.

    Raises:
        InputError: The shapes do not match, an index is out of range, or a row is not a probability distribution.
    """
    _check_shapes(y_true, probabilities)
    check_indices(y_true, probabilities.shape[1], "y_true")
    values = np.asarray(probabilities, dtype=np.float64)
    sums = values.sum(axis=1, keepdims=True)
    # Negated comparisons also catch NaN. A row that sums to 1 without negative values has no value above 1.
    wrong = ~(np.abs(sums[:, 0] - 1) <= ROW_SUM_TOLERANCE) | ~(values >= 0).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        example = np.array2string(values[first], precision=3, threshold=6)
        raise InputError(
            f"probabilities: {int(wrong.sum())} of {len(values)} rows do not lie in [0, 1] and sum to 1; the first, "
            f"row {first}, is {example}: give softmax outputs, without NaN"
        )
    return values / sums


def check_class_names(class_names: Sequence[str], classes: int) -> None:
    """Raise `InputError` unless there is one name for each of the ``classes`` columns."""
    if len(class_names) != classes:
        raise InputError(
            f"class_names: {len(class_names)} names for {classes} classes; give one name per class, in order"
        )


def _check_shapes(y_true: IntArray, probabilities: FloatArray) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise InputError(
            f"probabilities: shape {probabilities.shape}; give (n, k), one column for each of k ≥ 2 classes"
        )
    if y_true.shape != probabilities.shape[:1]:
        raise InputError(
            f"y_true: shape {y_true.shape} for {len(probabilities)} predictions; give one class index per prediction"
        )
    if y_true.size == 0:
        raise InputError("y_true: no images to evaluate; the test split must not be empty")


def check_indices(indices: IntArray, classes: int, name: str) -> None:
    """Raise `InputError` unless all ``indices``, of which there is at least one, are integers in [0, classes)."""
    if not np.issubdtype(indices.dtype, np.integer):
        raise InputError(f"{name}: dtype {indices.dtype}; give class indices as integers")
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"{name}: class indices from {low} to {high}; with {classes} classes they run from 0 to {classes - 1}"
        )
