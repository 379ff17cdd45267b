"""Metrics of a classifier, and tables of metrics with bootstrap intervals.

Every metric is computed for many bootstrap resamples at once. Metrics that are ratios of sums need only the sums over
each group, so that one matrix product computes all resamples. Ranking metrics (ROC AUC) need sorted images.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.bootstrap import Interval, Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.predictions import BoolArray, FloatArray, IntArray, Predictions, check_probabilities

logger = logging.getLogger(__name__)

Values = NDArray[np.float64]

LARGER_IS_BETTER: Mapping[str, bool] = {
    "accuracy": True,
    "balanced_accuracy": True,
    "f1_macro": True,
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "brier": False,
    "ece": False,
    "loss": False,
}
"""Whether larger values are better, for every metric of the validation split, of trials and of the test split."""
METRICS = tuple(name for name in LARGER_IS_BETTER if name != "loss")
"""Metrics of the test split, in the order in which they are reported."""
VALIDATION_METRICS = tuple(
    f"val_{name}" for name in ("loss", "log_loss", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc")
)
"""Metrics of the validation split after each epoch."""
BINS = 15
"""Number of equally wide confidence bins for the calibration error, as in Guo et al. 2017."""
BLOCK = 2**22
"""Number of values to process at a time, so that temporary arrays take at most some 100 MB."""
SHARES = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "average_precision")
"""Metrics whose best value, 1, a small sample can reach by chance; `bootstrap_interval` treats them as shares."""
BY_CLASS = ("balanced_accuracy", "f1_macro", "roc_auc", "average_precision")
"""Metrics that average over classes, so that the class with the fewest groups determines their uncertainty."""
WITHOUT_INTERVAL = ("ece",)
"""Metrics that are biased upward on few images. Resampling adds the same bias again, so intervals would be wrong."""


def larger_is_better(metric: str) -> bool:
    """Return True if larger values of a metric are better. The name ``metric`` may begin with ``val_``."""
    return LARGER_IS_BETTER[metric.removeprefix("val_")]


def classification_metrics(
    y_true: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str] | None = None,
    predicted: IntArray | None = None,
) -> dict[str, float]:
    """Compute `METRICS` from predictions.

    Averages over classes leave out a class without images, and a warning names the class. If the class is predicted,
    macro F1 still includes the class, with an F1 of 0.

    ``y_true`` and ``predicted`` (n,) hold class indices, ``probabilities`` (n, k); by default ``predicted`` is
    the likeliest class. ``class_names`` are used in messages.

    Returns:
        Values by metric. log_loss is in nats; the loss of one image is at most 36, because `log_probabilities` clips.
        brier lies in [0, 1] for two classes and in [0, 2] for more; all other metrics lie in [0, 1]. For two classes,
        roc_auc and average_precision take class 1 as positive; for more classes, they are means over one-vs-rest.

    Raises:
        InputError: `check_probabilities` rejects the probabilities, or all images are of one class.
    """
    columns = resampled_metrics(y_true, probabilities, _sample_only(len(y_true)), class_names, predicted)
    return {name: float(values[0]) for name, values in columns.items()}


def validation_metrics(y_true: IntArray, probabilities: FloatArray, label_smoothing: float) -> dict[str, float]:
    """Compute `VALIDATION_METRICS`; all are NaN if a probability is not finite.

    ``val_loss`` is the training objective, which includes label smoothing (0–1); ``val_log_loss`` does not. If all
    images are of one class, ROC AUC is 0.5.
    """
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(VALIDATION_METRICS, float("nan"))
    sums = group_statistics(y_true, probabilities, probabilities.argmax(axis=1), np.zeros_like(y_true))
    metrics = {name: float(value[0]) for name, value in summed_metrics(sums).items()}
    metrics["log_loss"] = float(log_losses(y_true, probabilities).mean())
    smoothed = (1 - label_smoothing) * metrics["log_loss"] - label_smoothing * log_probabilities(probabilities).mean()
    metrics["loss"] = float(smoothed)
    metrics["roc_auc"] = roc_auc(y_true, probabilities) if len(np.unique(y_true)) > 1 else 0.5
    return {name: metrics[name.removeprefix("val_")] for name in VALIDATION_METRICS}


def resampled_metrics(
    y_true: IntArray,
    probabilities: FloatArray,
    resamples: Resamples,
    class_names: Sequence[str] | None = None,
    predicted: IntArray | None = None,
) -> dict[str, Values]:
    """Compute `classification_metrics` for every resample: arrays (b + 1,), the original sample first."""
    values = check_probabilities(probabilities)
    names = [str(label) for label in range(values.shape[1])] if class_names is None else class_names
    _warn_of_absent_classes(y_true, names)
    predicted = values.argmax(axis=1) if predicted is None else predicted
    metrics = summed_metrics(group_statistics(y_true, values, predicted, resamples.codes).mix(resamples.weights))
    ranked = [
        ranking_metrics(y_true == column, values[:, column], resamples)
        for column in scored_classes(y_true, len(names), names)
    ]
    metrics["roc_auc"], metrics["average_precision"] = (
        np.nanmean(np.array(ranked), axis=0) if len(ranked) > 1 else ranked[0]
    )
    return {name: metrics[name] for name in METRICS}


def roc_auc(y_true: IntArray, probabilities: FloatArray, class_names: Sequence[str] | None = None) -> float:
    """Return the area under the ROC curve, as in `classification_metrics`; 0.5 is chance.

    Raises:
        InputError: All images are of one class.
    """
    columns, sample = scored_classes(y_true, probabilities.shape[1], class_names), _sample_only(len(y_true))
    return float(
        np.mean([ranking_metrics(y_true == column, probabilities[:, column], sample)[0] for column in columns])
    )


def scored_classes(y_true: IntArray, classes: int, class_names: Sequence[str] | None = None) -> list[int]:
    """Return the classes that have a ROC curve: class 1 if there are two classes, else every class with images.

    Raises:
        InputError: All images are of one class.
    """
    present = np.unique(y_true).tolist()
    if len(present) < 2:
        name = class_names[present[0]] if class_names else present[0]
        raise InputError(
            f"y_true: all {len(y_true)} images are of class {name}; ROC AUC needs two classes: put images of each "
            "class into the split"
        )
    return [1] if classes == 2 else present


def accuracy_at_coverage(correct: BoolArray, confidence: FloatArray, coverage: float) -> float:
    """Return the accuracy of the most confident predictions, which are the share ``coverage`` of all predictions."""
    count = max(1, round(coverage * len(correct)))
    return float(correct[np.argsort(-confidence, kind="stable")[:count]].mean())


def log_losses(y_true: IntArray, probabilities: FloatArray) -> Values:
    """Return the log loss of each image in nats, (n,)."""
    return -log_probabilities(probabilities[np.arange(len(y_true)), y_true])


def log_probabilities(probabilities: FloatArray) -> Values:
    """Return the logarithms of probabilities, clipped to [2.2e-16, 1 - 2.2e-16] so that all are finite."""
    eps = np.finfo(np.float64).eps
    return np.log(np.clip(probabilities.astype(np.float64), eps, 1 - eps))


def confidence_bins(confidence: FloatArray) -> NDArray[np.int64]:
    """Return the bin, 0 to BINS - 1, of each confidence (n,) in [0, 1]."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


@dataclass(frozen=True)
class GroupStatistics:
    """Sums over the images of each group, one row per group; the result of `mix` has one row per resample."""

    correct: Values  # (rows, k) number of correctly predicted images of each class
    support: Values  # (rows, k) number of images of each class
    predicted: Values  # (rows, k) number of predictions of each class
    loss: Values  # (rows, 2) sum of log losses and sum of Brier scores
    bins: Values  # (rows, 3, BINS) number of images, sum of confidences, number of correct predictions in each bin

    def mix(self, weights: Values) -> "GroupStatistics":
        """Return a weighted sum of all rows for each resample, that is, for each row of ``weights`` (b, rows)."""
        return GroupStatistics(*(np.tensordot(weights, values, axes=1) for values in vars(self).values()))

    def __add__(self, other: "GroupStatistics") -> "GroupStatistics":
        """Add the sums of two objects, row by row."""
        return GroupStatistics(*(vars(self)[name] + vars(other)[name] for name in vars(self)))


def group_statistics(
    y_true: IntArray, probabilities: FloatArray, predicted: IntArray, codes: IntArray
) -> GroupStatistics:
    """Sum up predictions by group; ``codes`` (n,) holds the group of each image, 0 to g - 1."""
    groups, classes = int(codes.max()) + 1, probabilities.shape[1]
    confidence = probabilities.max(axis=1)
    bins = confidence_bins(confidence)

    def table(columns: IntArray, width: int, weights: Values | BoolArray | None = None) -> Values:
        return np.bincount(codes * width + columns, weights, groups * width).reshape(groups, width).astype(np.float64)

    # By convention, the Brier score counts one class of two, but all classes if there are more.
    brier = ((probabilities - np.eye(classes)[y_true]) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    losses = [table(np.zeros_like(y_true), 1, values) for values in (log_losses(y_true, probabilities), brier)]
    binned = [table(bins, BINS, values) for values in (None, confidence, probabilities.argmax(axis=1) == y_true)]
    return GroupStatistics(
        correct=table(y_true, classes, predicted == y_true),
        support=table(y_true, classes),
        predicted=table(predicted, classes),
        loss=np.concatenate(losses, axis=1),
        bins=np.stack(binned, axis=1),
    )


def summed_metrics(sums: GroupStatistics) -> dict[str, Values]:
    """Compute `METRICS` for each row, except roc_auc and average_precision, which need more than sums."""
    with np.errstate(invalid="ignore", divide="ignore"):
        by_class, total = summed_class_metrics(sums), sums.support.sum(axis=1)
        gaps = np.abs(sums.bins[:, 1] - sums.bins[:, 2]).sum(axis=1)
        return {
            "accuracy": sums.correct.sum(axis=1) / total,
            "balanced_accuracy": _mean_of_classes(by_class["recall"]),
            "f1_macro": _mean_of_classes(by_class["f1"]),
            "log_loss": sums.loss[:, 0] / total,
            "brier": sums.loss[:, 1] / total,
            "ece": gaps / total,
        }


def summed_class_metrics(sums: GroupStatistics) -> dict[str, Values]:
    """Compute precision, recall and f1, each of shape (rows, classes). A value is NaN if its denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": sums.correct / sums.predicted,
            "recall": sums.correct / sums.support,
            "f1": 2 * sums.correct / (sums.support + sums.predicted),
        }


def ranking_metrics(positive: BoolArray, scores: FloatArray, resamples: Resamples) -> tuple[Values, Values]:
    """Return two arrays of shape (b + 1,): ROC AUC and average precision of each row of ``resamples.weights``.

    Images with equal scores share a rank. A resample without positive or without negative images gives NaN.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    codes, is_positive = resamples.codes[order], positive[order]
    areas, precisions = [], []
    for weights in blocks(resamples.weights, len(scores)):
        drawn = weights[:, codes]
        hits = np.add.reduceat(drawn * is_positive, starts, axis=1)
        misses = np.add.reduceat(drawn * ~is_positive, starts, axis=1)
        all_hits, all_misses = hits.cumsum(axis=1), misses.cumsum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = all_hits[:, -1] * all_misses[:, -1]
            areas.append((misses * (all_hits - hits / 2)).sum(axis=1) / pairs)
            precision = np.nan_to_num(all_hits / (all_hits + all_misses))
            precisions.append((hits * precision).sum(axis=1) / all_hits[:, -1])
    return np.concatenate(areas), np.concatenate(precisions)


def blocks(rows: Values, width: int) -> Iterator[Values]:
    """Yield the rows in blocks of at most `BLOCK` values, where each row counts as ``width`` values."""
    step = max(1, BLOCK // max(width, 1))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def interval_table(metrics: Mapping[str, Values], y_true: IntArray, resamples: Resamples) -> pd.DataFrame:
    """Return the intervals of `resampled_metrics` as a table with one row per metric: metric, value, low, high.

    For metrics in `WITHOUT_INTERVAL`, low and high are NaN.
    """
    fewest = min(len(np.unique(resamples.codes[y_true == label])) for label in np.unique(y_true))
    rows = []
    for name, values in metrics.items():
        groups = fewest if name in BY_CLASS else resamples.groups
        interval = bootstrap_interval(values, groups, share=name in SHARES)
        rows.append((name, *(Interval(interval.value, np.nan, np.nan) if name in WITHOUT_INTERVAL else interval)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def read_intervals(table: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """Return the intervals by model and metric.

    ``table`` is a concatenation of `interval_table` results with a column ``model``.
    """
    keys = zip(table["model"].astype(str), table["metric"].astype(str), strict=True)
    bounds = table[["value", "low", "high"]].to_numpy(np.float64)
    return {key: Interval(*map(float, row)) for key, row in zip(keys, bounds, strict=True)}


def comparison_table(intervals: pd.DataFrame) -> pd.DataFrame:
    """Return a table of values with one row per metric: the column ``metric``, then one column per model.

    ``intervals`` is a table as for `read_intervals`.
    """
    models = {str(name): part["value"].to_numpy() for name, part in intervals.groupby("model", sort=False)}
    return pd.DataFrame({"metric": intervals["metric"].unique(), **models})


def per_class_metrics(predictions: Predictions, resamples: Resamples) -> pd.DataFrame:
    """Compute precision, recall and F1 of each class, with intervals.

    Returns:
        One row per class, in order: class, support (its number of images), then precision, recall and f1 in [0, 1],
        each with the bounds of its interval (precision_low, …). A score with denominator 0 is NaN. Intervals are wider
        for fewer groups. For recall, groups with images of the class count; for precision, groups with predictions of
        the class; for f1, the smaller number of groups.
    """
    sums = group_statistics(predictions.y_true, predictions.probabilities, predictions.predicted, resamples.codes)
    table = {"class": list(predictions.class_names), "support": sums.support.sum(axis=0).astype(np.int64)}
    predicted, present = ((counts > 0).sum(axis=0) for counts in (sums.predicted, sums.support))
    groups = {"precision": predicted, "recall": present, "f1": np.minimum(predicted, present)}
    for name, columns in summed_class_metrics(sums.mix(resamples.weights)).items():
        pairs = zip(columns.T, groups[name], strict=True)
        bounds = [bootstrap_interval(column, int(count), share=True) for column, count in pairs]
        table |= dict(zip((name, f"{name}_low", f"{name}_high"), zip(*bounds, strict=True), strict=True))
    return pd.DataFrame(table)


def _sample_only(count: int) -> Resamples:
    return Resamples(np.zeros(count, dtype=np.int64), np.ones((1, 1)))


def _warn_of_absent_classes(y_true: IntArray, class_names: Sequence[str]) -> None:
    absent = sorted(set(range(len(class_names))) - set(np.unique(y_true).tolist()))
    if absent:
        names = ", ".join(class_names[index] for index in absent)
        logger.warning("Classes without test images: %s. Averages over classes leave these classes out.", names)


def _mean_of_classes(values: Values) -> Values:
    """Return the mean over the classes that have a value, for each row; NaN for a row without values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=1)
