"""From probabilities to a prediction: temperature, threshold, abstention.

This file imports NumPy only and nothing of this project: registered models carry a copy of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

SMALLEST = float(np.finfo(np.float32).tiny)
"""Replaces a probability of 0, so that its logarithm is finite."""


@dataclass(frozen=True)
class Calibration:
    """How the model's probabilities become predictions, fitted on the validation split.

    Attributes:
        class_names: Classes in the order of the outputs.
        temperature: Divides the logits, above 0; below 1 sharpens the probabilities.
        threshold: With two classes, the calibrated probability from which the second is predicted; None: the likelier
            class is.
        abstain_below: Calibrated probability of the predicted class below which the model abstains; None: never.
    """

    class_names: Sequence[str]
    temperature: float = 1.0
    threshold: float | None = None
    abstain_below: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Read the result of :meth:`to_dict`."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``calibration.json``: temperature, threshold, abstain_below, class_names."""
        return {**asdict(self), "class_names": list(self.class_names)}

    def calibrate(self, probabilities: FloatArray) -> FloatArray:
        """Return calibrated probabilities, float64 of shape (n, k), rows summing to 1."""
        return scale_temperature(probabilities, self.temperature)

    def predict(self, calibrated: FloatArray) -> NDArray[np.int64]:
        """Return the predicted class indices, shape (n,); of equally likely classes the first."""
        if self.threshold is None:
            return calibrated.argmax(axis=1)
        return (calibrated[:, 1] >= self.threshold).astype(np.int64)

    def abstain(self, calibrated: FloatArray) -> NDArray[np.bool_]:
        """Return, shape (n,), whether the predicted class is too unlikely to be reported."""
        if self.abstain_below is None:
            return np.zeros(len(calibrated), dtype=np.bool_)
        return self.confidence(calibrated) < self.abstain_below

    def confidence(self, calibrated: FloatArray) -> FloatArray:
        """Return the probability of the predicted class, shape (n,)."""
        return np.take_along_axis(calibrated, self.predict(calibrated)[:, None], axis=1)[:, 0]


def scale_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Divide the logits of softmax outputs (n, k) by a temperature above 0 (Guo et al. 2017, section 4.2).

    The logarithms of probabilities are the logits up to a constant. Scaling by 1/t undoes scaling by t.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
