"""The array types that evaluation speaks, and the one check of a set of predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]
PixelArray = NDArray[np.uint8]

ROW_SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may sum from 1: half precision errs by some thousandths, logits by far more."""


def check_predictions(y_true: IntArray, probabilities: FloatArray) -> FloatArray:
    """Check that probabilities answer truth, and give them back in double precision with rows that sum to 1.

    Args:
        y_true: (n,) class indices in [0, k), n ≥ 1.
        probabilities: (n, k) in [0, 1], k ≥ 2, each row summing to 1 within `ROW_SUM_TOLERANCE`.

    Returns:
        (n, k) float64; the argument is left alone.

    Raises:
        InputError: for another shape, an index out of range, or rows that are no probabilities.
    """
    _check_shapes(y_true, probabilities)
    _check_indices(y_true, probabilities.shape[1])
    return _normalised(probabilities)


def check_class_names(class_names: Sequence[str], classes: int) -> None:
    """Raise `InputError` unless there is one name for each of the `classes` columns."""
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
            f"y_true: shape {y_true.shape} for {len(probabilities)} predictions; give one class index each"
        )
    if y_true.size == 0:
        raise InputError("y_true: no images to evaluate; the test split must not be empty")


def _check_indices(y_true: IntArray, classes: int) -> None:
    if not np.issubdtype(y_true.dtype, np.integer):
        raise InputError(f"y_true: dtype {y_true.dtype}; give class indices as integers")
    low, high = int(y_true.min()), int(y_true.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"y_true: class indices from {low} to {high}; with {classes} classes they run from 0 to {classes - 1}"
        )


def _normalised(probabilities: FloatArray) -> FloatArray:
    values = np.asarray(probabilities, dtype=np.float64)
    sums = values.sum(axis=1, keepdims=True)
    # Written so that NaN is wrong; with no value below 0 and a sum of 1, none is above 1 either.
    wrong = ~(np.abs(sums[:, 0] - 1) <= ROW_SUM_TOLERANCE) | ~(values >= 0).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        example = np.array2string(values[first], precision=3, threshold=6)
        raise InputError(
            f"probabilities: {int(wrong.sum())} of {len(values)} rows do not lie in [0, 1] and sum to 1; the first, "
            f"row {first}, is {example}: give softmax outputs, without NaN"
        )
    return values / sums
