"""Whether another way to compute a model's probabilities gives the same answers."""

from dataclasses import dataclass

import numpy as np

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray
from goodbad_pipeline.evaluation.decision import Calibration


@dataclass(frozen=True)
class Agreement:
    """Two sets of answers about the same pictures.

    Attributes:
        same_labels: Share of the pictures that get the same label, 0–1.
        max_difference: Largest difference of a probability as the network gives it.
        accuracy: Of the other way, 0–1.
        reference_accuracy: Of the model itself, 0–1.
    """

    same_labels: float
    max_difference: float
    accuracy: float
    reference_accuracy: float

    def within(self, *, difference: float, accuracy: float) -> bool:
        """Whether no probability is further off than ``difference`` and no more than ``accuracy`` is lost."""
        lost = self.reference_accuracy - self.accuracy
        return self.max_difference <= difference and lost <= accuracy + 1e-12  # 1 of 100 is 0.010000000000000009


def measure_agreement(
    truth: IntArray, reference: FloatArray, probabilities: FloatArray, calibration: Calibration
) -> Agreement:
    """Compare probabilities and the labels read from them.

    Args:
        truth: Class numbers, shape (n,), n at least 1.
        reference: The model's own probabilities, shape (n, classes).
        probabilities: Those of the other way; what is no finite number differs infinitely.
        calibration: How both are read.
    """
    expected = calibration.choose(calibration.calibrate(reference))
    if not np.isfinite(probabilities).all():
        return Agreement(0.0, float("inf"), 0.0, float((expected == truth).mean()))
    chosen = calibration.choose(calibration.calibrate(probabilities))
    return Agreement(
        same_labels=float((chosen == expected).mean()),
        max_difference=float(np.abs(np.asarray(probabilities, np.float64) - reference).max()),
        accuracy=float((chosen == truth).mean()),
        reference_accuracy=float((expected == truth).mean()),
    )
