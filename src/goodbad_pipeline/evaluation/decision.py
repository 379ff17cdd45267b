"""Turn probabilities into a prediction: temperature, threshold, abstention.

This file imports only NumPy and nothing from this project, because registered models carry a copy of it.
"""

from collections.abc import Mapping, Sequence
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

    Attributes:
        class_names: Names of the classes, in the order of the model's outputs.
        temperature: Number above 0 by which the logits are divided; below 1 it sharpens the probabilities.
        threshold: With two classes, the calibrated probability from which the second class is predicted; None: the
            likelier class is predicted.
        abstain_below: The model abstains if the calibrated probability of the predicted class is below this; None: it
            never abstains.
    """

    class_names: Sequence[str]
    temperature: float = 1.0
    threshold: float | None = None
    abstain_below: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Return the calibration from which :meth:`to_dict` made ``values``."""
        return cls(**values)

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
    """Divide the logits of softmax outputs (n, k) by a temperature above 0 (Guo et al. 2017, section 4.2).

    The logarithms of the probabilities equal the logits up to a constant. Scaling by 1/t undoes scaling by t.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
