"""Validation metrics of an epoch, and checks that a training has not diverged."""

import math
from collections.abc import Mapping

import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.metrics import (
    group_statistics,
    log_losses,
    log_probabilities,
    roc_auc,
    summed_metrics,
)

VALIDATION_METRICS = (
    "val_loss",
    "val_log_loss",
    "val_accuracy",
    "val_balanced_accuracy",
    "val_f1_macro",
    "val_roc_auc",
)


def measure(probabilities: np.ndarray, y_true: np.ndarray, label_smoothing: float) -> dict[str, float]:
    """Compute `VALIDATION_METRICS`; all are NaN if a probability is not finite.

    ``val_loss`` is the training objective, with its label smoothing; ``val_log_loss`` is without. With one class only,
    ROC AUC is 0.5.

    Args:
        probabilities: float32, shape (n, classes).
        y_true: Class indices, int64 of shape (n,).
        label_smoothing: Share of each target that is spread over all classes, 0–1.
    """
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(VALIDATION_METRICS, float("nan"))
    one_group = np.zeros_like(y_true)
    sums = group_statistics(y_true, probabilities, probabilities.argmax(axis=1), one_group)
    metrics = {name: float(value[0]) for name, value in summed_metrics(sums).items()}
    metrics["log_loss"] = float(log_losses(y_true, probabilities).mean())
    smoothed = (1 - label_smoothing) * metrics["log_loss"] - label_smoothing * log_probabilities(probabilities).mean()
    metrics["loss"] = float(smoothed)
    metrics["roc_auc"] = roc_auc(y_true, probabilities) if len(np.unique(y_true)) > 1 else 0.5
    return {name: metrics[name.removeprefix("val_")] for name in VALIDATION_METRICS}


class TrainingDiverged(InputError):
    """The loss exploded, or numbers are not finite; other parameters may train well."""


def check_loss(loss: float, *, where: str, limit: float, kept: str) -> None:
    """Check the mean loss of a batch, in nats.

    Args:
        loss: The loss.
        where: The step, for the message.
        limit: Largest loss that counts as normal.
        kept: Which weights remain, for the message.

    Raises:
        TrainingDiverged: The loss is not finite, or above the limit.
    """
    if math.isfinite(loss) and loss <= limit:
        return
    what = f"exploded to {loss:.4g} (above {limit:.4g})" if math.isfinite(loss) else f"became {loss}"
    raise TrainingDiverged(
        f"training: the loss {what} at {where}; lower the learning rate of that phase or raise training.warmup; {kept}"
    )


def check_arrays(arrays: Mapping[str, np.ndarray], *, where: str, kept: str) -> None:
    """Check that all arrays of a checkpoint are finite.

    Raises:
        TrainingDiverged: They are not.
    """
    if all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
        return
    raise TrainingDiverged(
        f"training: the weights are not finite at {where}; lower the learning rate of that phase or raise "
        f"training.warmup; {kept}"
    )
