"""Turn probabilities into a prediction: temperature, threshold, abstention.

This file imports only NumPy and nothing from this project, because registered models carry a copy of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

SMALLEST = float(np.finfo(np.float32).tiny)
"""Lower limit of a probability, so that its logarithm is finite."""


@dataclass(frozen=True)
class Calibration:
    """Settings, fitted on the validation split, that turn a model's probabilities into predictions.

    Of two classes, the second is predicted if its calibrated probability is at least ``threshold``. If ``threshold`` is
    None, the likeliest class is predicted. The model abstains if the calibrated probability of the predicted class is
    less than ``abstain_below``. If ``abstain_below`` is None, the model never abstains.
    """

    class_names: Sequence[str]  # in the order of the model's outputs
    temperature: float = 1.0  # above 0; the logits are divided by it, so a value below 1 sharpens the probabilities
    threshold: float | None = None
    abstain_below: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``calibration.json``: temperature, threshold, abstain_below, class_names."""
        return {**asdict(self), "class_names": list(self.class_names)}

    def calibrate(self, probabilities: FloatArray) -> FloatArray:
        """Return calibrated probabilities, float64 of shape (n, k), rows summing to 1."""
        return scale_temperature(probabilities, self.temperature)

    def predict(self, calibrated: FloatArray) -> NDArray[np.int64]:
        """Return the predicted class indices, shape (n,); without a threshold, a tie goes to the first class."""
        if self.threshold is None:
            return calibrated.argmax(axis=1)
        return (calibrated[:, 1] >= self.threshold).astype(np.int64)

    def abstain(self, calibrated: FloatArray) -> NDArray[np.bool_]:
        """Return an array, shape (n,), that is True where the model abstains."""
        if self.abstain_below is None:
            return np.zeros(len(calibrated), dtype=np.bool_)
        return self.confidence(calibrated) < self.abstain_below

    def confidence(self, calibrated: FloatArray) -> FloatArray:
        """Return the probability of the predicted class, shape (n,)."""
        return np.take_along_axis(calibrated, self.predict(calibrated)[:, None], axis=1)[:, 0]


def scale_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return softmax outputs (n, k) with logits divided by a temperature above 0 (Guo et al. 2017, section 4.2).

    The logarithms of the probabilities equal the logits up to a constant per image. Scaling by 1/t undoes scaling by t.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
