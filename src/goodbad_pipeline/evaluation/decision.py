"""From a model's probabilities to an answer: temperature, threshold, abstention.

NumPy only, and nothing of this project, so that whatever serves the model can carry this file along.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

SMALLEST = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as: its logarithm must be finite."""


@dataclass(frozen=True)
class Calibration:
    """What validation taught about reading the model's probabilities.

    Attributes:
        class_names: Classes in the order of the outputs.
        temperature: What logits are divided by, above 0; below 1 makes answers surer.
        threshold: Of two classes, the calibrated probability of the second from which it is the answer; None: the
            likelier one is.
        abstain_below: Calibrated probability of the answer under which there is none; None: there always is.
    """

    class_names: Sequence[str]
    temperature: float = 1.0
    threshold: float | None = None
    abstain_below: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Read what :meth:`to_dict` gave."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``calibration.json`` holds: temperature, threshold, abstain_below, class_names."""
        return {**asdict(self), "class_names": list(self.class_names)}

    def calibrate(self, probabilities: FloatArray) -> FloatArray:
        """Return the model's probabilities, shape (n, k), as they are to be read: float64, rows summing to 1."""
        return scale_temperature(probabilities, self.temperature)

    def choose(self, calibrated: FloatArray) -> NDArray[np.int64]:
        """Return the class index of each answer, shape (n,); of equals the first, and at the threshold the second."""
        if self.threshold is None:
            return calibrated.argmax(axis=1)
        return (calibrated[:, 1] >= self.threshold).astype(np.int64)

    def abstain(self, calibrated: FloatArray) -> NDArray[np.bool_]:
        """Return, shape (n,), whether the answer is too unsure to be given."""
        if self.abstain_below is None:
            return np.zeros(len(calibrated), dtype=np.bool_)
        answer = np.take_along_axis(calibrated, self.choose(calibrated)[:, None], axis=1)[:, 0]
        return answer < self.abstain_below


def scale_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Divide logits by a temperature, given softmax outputs (Guo et al. 2017, section 4.2).

    Args:
        probabilities: Shape (n, k), rows summing to 1; their logarithms are logits up to a constant.
        temperature: Above 0. Scaling by 1/t undoes scaling by t.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
