import numpy as np
import pytest

from goodbad_pipeline.evaluation.metrics import VALIDATION_METRICS, classification_metrics, validation_metrics


def predictions(classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), 40).astype(np.float32), rng.integers(0, classes, 40)


@pytest.mark.parametrize("classes", [2, 3])
def test_validation_metrics_equal_those_of_a_test_split(classes: int) -> None:
    probabilities, y_true = predictions(classes)
    measured = validation_metrics(y_true, probabilities, 0.0)
    assert set(measured) == set(VALIDATION_METRICS)
    probabilities = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True)
    expected = classification_metrics(y_true, probabilities)
    for name in set(measured) - {"val_loss"}:
        assert measured[name] == pytest.approx(expected[name.removeprefix("val_")], rel=1e-5)
    assert measured["val_loss"] == measured["val_log_loss"]


def test_the_loss_is_smoothed_as_in_training() -> None:
    probabilities, y_true = predictions(3)
    targets = np.eye(3)[y_true] * 0.9 + 0.1 / 3
    expected = -(targets * np.log(np.clip(probabilities.astype(float), np.finfo(float).eps, None))).sum(axis=1).mean()
    assert validation_metrics(y_true, probabilities, 0.1)["val_loss"] == pytest.approx(expected)


def test_roc_auc_of_one_class_is_a_half() -> None:
    probabilities, _ = predictions(2)
    assert validation_metrics(np.zeros(40, int), probabilities, 0.0)["val_roc_auc"] == 0.5


def test_metrics_are_nan_if_a_probability_is_nan() -> None:
    probabilities, y_true = predictions(2)
    probabilities[3] = np.nan
    assert all(np.isnan(value) for value in validation_metrics(y_true, probabilities, 0.0).values())
