"""What a network is worth on validation, measured after each epoch."""

import math
from collections.abc import Mapping

import numpy as np

from goodbad_pipeline.errors import InputError

LARGER_IS_BETTER = {
    "val_loss": False,
    "val_log_loss": False,
    "val_accuracy": True,
    "val_balanced_accuracy": True,
    "val_f1_macro": True,
    "val_roc_auc": True,
}
"""Every measure, and whether more of it is better."""


def measure(probabilities: np.ndarray, y_true: np.ndarray, label_smoothing: float) -> dict[str, float]:
    """Score predictions; the names are those of :data:`LARGER_IS_BETTER`.

    ``val_loss`` is what training lowers, with its label smoothing; ``val_log_loss`` is without. A class that validation
    lacks counts in no mean; with one class alone, ROC AUC is 0.5. Predictions that are no numbers give none.

    Args:
        probabilities: float32, shape (n, classes).
        y_true: Class numbers, int64 of shape (n,).
        label_smoothing: Share of each target that is spread over all classes, 0–1.
    """
    from sklearn.metrics import f1_score, recall_score  # noqa: PLC0415 - takes half a second, and every command comes by

    if not np.isfinite(probabilities).all():
        return dict.fromkeys(LARGER_IS_BETTER, float("nan"))
    classes = probabilities.shape[1]
    logs = np.log(np.clip(probabilities.astype(np.float64), 1e-7, None))
    log_loss = -logs[np.arange(len(y_true)), y_true].mean()
    predicted, present = probabilities.argmax(axis=1), np.unique(y_true)
    return {
        "val_loss": float((1 - label_smoothing) * log_loss - label_smoothing * logs.mean()),
        "val_log_loss": float(log_loss),
        "val_accuracy": float((predicted == y_true).mean()),
        "val_balanced_accuracy": float(recall_score(y_true, predicted, labels=present, average="macro")),
        "val_f1_macro": float(f1_score(y_true, predicted, labels=present, average="macro")),
        "val_roc_auc": _roc_auc(probabilities, y_true, present.tolist(), classes),
    }


def _roc_auc(probabilities: np.ndarray, y_true: np.ndarray, present: list[int], classes: int) -> float:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - see above

    if len(present) < 2:
        return 0.5
    columns = [1] if classes == 2 else present
    return float(np.mean([roc_auc_score(y_true == column, probabilities[:, column]) for column in columns]))


class TrainingDiverged(InputError):
    """A training has gone wrong by its own parameters; another may go well."""


def check_loss(loss: float, *, where: str, limit: float, kept: str) -> None:
    """Check the loss of one step.

    Args:
        loss: Mean over the batch, in nats.
        where: The step, to name.
        limit: Largest loss that is not an explosion.
        kept: What is left to go back to, to name.

    Raises:
        TrainingDiverged: The loss is no number, infinite or above the limit.
    """
    if math.isfinite(loss) and loss <= limit:
        return
    what = f"exploded to {loss:.4g} (above {limit:.4g})" if math.isfinite(loss) else f"became {loss}"
    raise TrainingDiverged(
        f"training: the loss {what} at {where}; lower the learning rate of that phase or raise training.warmup; {kept}"
    )


def check_arrays(arrays: Mapping[str, np.ndarray], *, where: str, kept: str) -> None:
    """Check that all that is about to be kept is finite, so that no checkpoint holds spoilt weights.

    Raises:
        TrainingDiverged: Some number is not.
    """
    if all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
        return
    raise TrainingDiverged(
        f"training: the weights stopped being numbers at {where}; lower the learning rate of that phase or raise "
        f"training.warmup; {kept}"
    )
