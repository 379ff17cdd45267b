import numpy as np
import pytest

from goodbad_pipeline.evaluation.comparison import Agreement, measure_agreement
from goodbad_pipeline.evaluation.decision import Calibration


def test_labels_are_compared_after_calibration() -> None:
    y_true = np.array([0, 1, 1, 0])
    reference = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.8, 0.2]])
    other = reference + np.array([[0, 0], [0.11, -0.11], [0, 0], [0, 0]])
    plain = measure_agreement(y_true, reference, other, Calibration(["a", "b"]))
    assert (plain.same_labels, plain.accuracy, plain.reference_accuracy) == (1.0, 0.75, 0.75)
    assert plain.max_difference == pytest.approx(0.11)
    moved = measure_agreement(y_true, reference, other, Calibration(["a", "b"], threshold=0.45))
    assert (moved.same_labels, moved.accuracy, moved.reference_accuracy) == (0.75, 0.75, 1.0)


def test_predictions_that_are_not_finite_do_not_agree() -> None:
    reference = np.array([[0.9, 0.1]])
    agreement = measure_agreement(np.array([0]), reference, np.full((1, 2), np.nan), Calibration(["a", "b"]))
    assert not agreement.within(difference=1.0, accuracy=0.9)
    assert agreement.same_labels == 0


@pytest.mark.parametrize(("accuracy", "agrees"), [(0.94, True), (0.93, True), (0.92, False), (0.99, True)])
def test_one_point_of_accuracy_may_be_lost_and_none_more(accuracy: float, agrees: bool) -> None:
    assert Agreement(1.0, 0.2, accuracy, 0.94).within(difference=1.0, accuracy=0.01) is agrees
    assert not Agreement(1.0, 0.2, accuracy, 0.94).within(difference=0.1, accuracy=0.01)
