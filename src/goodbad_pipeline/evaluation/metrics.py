"""What a classifier is worth on a test split: a handful of numbers, per class and against the baselines."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_class_names, check_predictions

logger = logging.getLogger(__name__)


def classification_metrics(
    truth: IntArray, probabilities: FloatArray, class_names: Sequence[str] | None = None
) -> dict[str, float]:
    """Score probabilities against the truth; the predicted class is the likeliest, the first of equals.

    A class that truth lacks has no recall and no ROC curve: balanced accuracy, ROC AUC and (unless it was predicted,
    which counts as F1 = 0) macro F1 are means over the other classes, and a logged warning names it. Log loss clips at
    the smallest double step, so that a certain and wrong answer costs 36, not infinity.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities: (n, k), rows summing to 1.
        class_names: k names for messages; the indices where left out.

    Returns:
        accuracy, balanced_accuracy, f1_macro and roc_auc in [0, 1], higher is better; log_loss ≥ 0 in nats, lower is
        better. `roc_auc` takes class 1 as the score of two classes, and is the mean of one-vs-rest for more.

    Raises:
        InputError: for arrays that `check_predictions` refuses, and where truth holds one class only.
    """
    values = check_predictions(truth, probabilities)
    labels = np.arange(values.shape[1])
    names = [str(label) for label in labels] if class_names is None else class_names
    check_class_names(names, len(labels))
    _warn_of_absent(truth, names)
    predicted = values.argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(
            recall_score(truth, predicted, labels=labels, average="macro", zero_division=np.nan)
        ),
        "f1_macro": float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=np.nan)),
        "roc_auc": roc_auc(truth, values, names),
        "log_loss": float(log_loss(truth, values, labels=labels)),
    }


def roc_auc(truth: IntArray, probabilities: FloatArray, class_names: Sequence[str] | None = None) -> float:
    """Area under the ROC curve: class 1 as the score of two classes, the mean of one-vs-rest for more.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities: (n, k).
        class_names: k names for the message.

    Returns:
        In [0, 1]; 0.5 is chance. With k > 2 the mean runs over the classes that truth holds.

    Raises:
        InputError: where truth holds one class only, naming it.
    """
    columns = scored_classes(truth, probabilities.shape[1], class_names)
    return float(np.mean([roc_auc_score(truth == column, probabilities[:, column]) for column in columns]))


def scored_classes(truth: IntArray, classes: int, class_names: Sequence[str] | None = None) -> list[int]:
    """Name the classes that have a ROC curve: class 1 of two, every class that truth holds of more.

    Raises:
        InputError: where truth holds one class only, naming it.
    """
    present = np.unique(truth).tolist()
    if len(present) < 2:
        name = class_names[present[0]] if class_names else present[0]
        raise InputError(
            f"truth: all {len(truth)} pictures are of class {name}; ROC AUC needs two: put pictures of each class "
            "into the split"
        )
    return [1] if classes == 2 else present


def per_class_metrics(truth: IntArray, probabilities: FloatArray, class_names: Sequence[str]) -> pd.DataFrame:
    """Score each class by itself.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities: (n, k), rows summing to 1.
        class_names: k names, in the order of the columns.

    Returns:
        One row per class, in order: class, precision, recall, f1 in [0, 1], and support, its pictures in truth. A score
        with nothing to divide by (never predicted, or support 0) is 0.

    Raises:
        InputError: for arrays that `check_predictions` refuses, or another number of names.
    """
    values = check_predictions(truth, probabilities)
    check_class_names(class_names, values.shape[1])
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, values.argmax(axis=1), labels=np.arange(values.shape[1]), zero_division=0.0
    )
    return pd.DataFrame(
        {"class": list(class_names), "precision": precision, "recall": recall, "f1": f1, "support": support}
    )


def comparison_table(metrics_by_name: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Lay the metrics of several models side by side.

    Args:
        metrics_by_name: metrics of each model, the model first, then its baselines.

    Returns:
        Column `metric`, then one column per model, in order; one row per metric, in the order of first mention. A
        metric that a model lacks is NaN.

    Raises:
        InputError: for no models at all.
    """
    if not metrics_by_name:
        raise InputError("metrics_by_name: no models to compare; give at least one")
    names = list(dict.fromkeys(metric for metrics in metrics_by_name.values() for metric in metrics))
    columns = {
        model: [float(metrics.get(name, np.nan)) for name in names] for model, metrics in metrics_by_name.items()
    }
    return pd.DataFrame({"metric": names, **columns})


def _warn_of_absent(truth: IntArray, class_names: Sequence[str]) -> None:
    absent = sorted(set(range(len(class_names))) - set(np.unique(truth).tolist()))
    if absent:
        names = ", ".join(class_names[index] for index in absent)
        logger.warning("No test pictures of class %s: the averages leave it out.", names)
