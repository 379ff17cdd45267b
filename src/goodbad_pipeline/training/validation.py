"""What a network is worth on validation, measured after each epoch."""

import numpy as np

LARGER_IS_BETTER = {
    "val_loss": False,
    "val_log_loss": False,
    "val_accuracy": True,
    "val_balanced_accuracy": True,
    "val_f1_macro": True,
    "val_roc_auc": True,
}
"""Every measure, and whether more of it is better."""


def measure(probabilities: np.ndarray, truth: np.ndarray, label_smoothing: float) -> dict[str, float]:
    """Score predictions; the names are those of :data:`LARGER_IS_BETTER`.

    ``val_loss`` is what training lowers, with its label smoothing; ``val_log_loss`` is without. A class that validation
    lacks counts in no mean; with one class alone, ROC AUC is 0.5. Predictions that are no numbers give none.

    Args:
        probabilities: float32, shape (n, classes).
        truth: Class numbers, int64 of shape (n,).
        label_smoothing: Share of each target that is spread over all classes, 0–1.
    """
    from sklearn.metrics import f1_score, recall_score  # noqa: PLC0415 - takes half a second, and every command comes by

    if not np.isfinite(probabilities).all():
        return dict.fromkeys(LARGER_IS_BETTER, float("nan"))
    classes = probabilities.shape[1]
    logs = np.log(np.clip(probabilities.astype(np.float64), 1e-7, None))
    log_loss = -logs[np.arange(len(truth)), truth].mean()
    predicted, present = probabilities.argmax(axis=1), np.unique(truth)
    return {
        "val_loss": float((1 - label_smoothing) * log_loss - label_smoothing * logs.mean()),
        "val_log_loss": float(log_loss),
        "val_accuracy": float((predicted == truth).mean()),
        "val_balanced_accuracy": float(recall_score(truth, predicted, labels=present, average="macro")),
        "val_f1_macro": float(f1_score(truth, predicted, labels=present, average="macro")),
        "val_roc_auc": _roc_auc(probabilities, truth, present.tolist(), classes),
    }


def _roc_auc(probabilities: np.ndarray, truth: np.ndarray, present: list[int], classes: int) -> float:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - see above

    if len(present) < 2:
        return 0.5
    columns = [1] if classes == 2 else present
    return float(np.mean([roc_auc_score(truth == column, probabilities[:, column]) for column in columns]))
