"""What a classifier is worth on a test split: a handful of numbers with intervals, per class, against baselines."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_class_names, check_predictions
from goodbad_pipeline.evaluation.bootstrap import Interval, Resamples, bootstrap_interval

logger = logging.getLogger(__name__)

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
"""The direction of every metric of validation, trials and test."""
METRICS = tuple(name for name in LARGER_IS_BETTER if name != "loss")
"""Metrics of a test split, in the order in which they are reported."""
SHARES = ("accuracy", "balanced_accuracy", "roc_auc", "average_precision")
"""Metrics whose best value a small sample can reach by chance."""
BY_CLASS = ("balanced_accuracy", "f1_macro", "roc_auc", "average_precision")
"""Metrics that are no surer than the class of the fewest groups lets them be."""
WITHOUT_INTERVAL = ("ece",)
"""Metrics that come out too high on few images: resampling adds as much again, and its interval misses the truth."""


def larger_is_better(metric: str) -> bool:
    """Return the direction of a metric, with or without the prefix ``val_``."""
    return LARGER_IS_BETTER[metric.removeprefix("val_")]


def classification_metrics(
    y_true: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str] | None = None,
    chosen: IntArray | None = None,
) -> dict[str, float]:
    """Score probabilities and the answers chosen from them against the truth.

    A class that truth lacks has no recall and no ROC curve: balanced accuracy, ROC AUC, average precision and (unless
    it was predicted, which counts as F1 = 0) macro F1 are means over the other classes, and a logged warning names it.
    Log loss clips at the smallest double step, so that a certain and wrong answer costs 36, not infinity.

    Args:
        y_true: (n,) class indices in [0, k).
        probabilities: (n, k), rows summing to 1.
        class_names: k names for messages; the indices where left out.
        chosen: (n,) class index of each answer; the likeliest, the first of equals, where left out.

    Returns:
        `METRICS` in order. accuracy, balanced_accuracy, f1_macro, roc_auc and average_precision lie in [0, 1], higher
        is better; log_loss ≥ 0 in nats, brier (of two classes in [0, 1], the score of one of them; else in [0, 2]) and
        ece in [0, 1] are better when lower. `roc_auc` and `average_precision` take class 1 as the score of two classes,
        and are the mean of one-vs-rest for more.

    Raises:
        InputError: for arrays that `check_predictions` refuses, and where truth holds one class only.
    """
    alone = Resamples(np.zeros(len(y_true), dtype=np.int64), np.ones((1, 1)))
    columns = resampled_metrics(y_true, probabilities, alone, class_names, chosen)
    return {name: float(values[0]) for name, values in columns.items()}


def resampled_metrics(
    y_true: IntArray,
    probabilities: FloatArray,
    resamples: Resamples,
    class_names: Sequence[str] | None = None,
    chosen: IntArray | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compute `classification_metrics` of every resample: arrays (b + 1,), the sample itself first."""
    values = check_predictions(y_true, probabilities)
    names = _names(class_names, values.shape[1])
    _warn_of_absent(y_true, names)
    answers = values.argmax(axis=1) if chosen is None else chosen
    metrics = summed_metrics(group_statistics(y_true, values, answers, resamples.codes).mix(resamples.weights))
    ranked = [
        ranking_metrics(y_true == column, values[:, column], resamples)
        for column in scored_classes(y_true, len(names), names)
    ]
    metrics["roc_auc"], metrics["average_precision"] = (
        np.nanmean(np.array(ranked), axis=0) if len(ranked) > 1 else ranked[0]
    )
    return {name: metrics[name] for name in METRICS}


def interval_table(metrics: Mapping[str, NDArray[np.float64]], y_true: IntArray, resamples: Resamples) -> pd.DataFrame:
    """Put the 95 % interval beside each metric.

    Args:
        metrics: What `resampled_metrics` gave.
        y_true: (n,) class indices.
        resamples: What the metrics were resampled by.

    Returns:
        One row per metric: metric, value, low, high; the bounds of `WITHOUT_INTERVAL` are NaN.
    """
    scarcest = min(len(np.unique(resamples.codes[y_true == label])) for label in np.unique(y_true))
    rows = []
    for name, values in metrics.items():
        groups = scarcest if name in BY_CLASS else resamples.groups
        if name in WITHOUT_INTERVAL:
            interval = Interval(float(values[0]), np.nan, np.nan)
        else:
            interval = bootstrap_interval(values, groups, share=name in SHARES)
        rows.append((name, *_bounds(interval)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def roc_auc(y_true: IntArray, probabilities: FloatArray, class_names: Sequence[str] | None = None) -> float:
    """Area under the ROC curve: class 1 as the score of two classes, the mean of one-vs-rest for more.

    Args:
        y_true: (n,) class indices in [0, k).
        probabilities: (n, k).
        class_names: k names for the message.

    Returns:
        In [0, 1]; 0.5 is chance. With k > 2 the mean runs over the classes that truth holds.

    Raises:
        InputError: where truth holds one class only, naming it.
    """
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - slow to import

    columns = scored_classes(y_true, probabilities.shape[1], class_names)
    return float(np.mean([roc_auc_score(y_true == column, probabilities[:, column]) for column in columns]))


def scored_classes(y_true: IntArray, classes: int, class_names: Sequence[str] | None = None) -> list[int]:
    """Name the classes that have a ROC curve: class 1 of two, every class that truth holds of more.

    Raises:
        InputError: where truth holds one class only, naming it.
    """
    present = np.unique(y_true).tolist()
    if len(present) < 2:
        name = class_names[present[0]] if class_names else present[0]
        raise InputError(
            f"y_true: all {len(y_true)} images are of class {name}; ROC AUC needs two: put images of each class "
            "into the split"
        )
    return [1] if classes == 2 else present


def per_class_metrics(
    y_true: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str],
    resamples: Resamples,
    chosen: IntArray | None = None,
) -> pd.DataFrame:
    """Score each class by itself.

    Args:
        y_true: (n,) class indices in [0, k).
        probabilities: (n, k), rows summing to 1.
        class_names: k names, in the order of the columns.
        resamples: Of the n images.
        chosen: (n,) class index of each answer; the likeliest where left out.

    Returns:
        One row per class, in order: class, support (its images in truth), then precision, recall and f1 in [0, 1],
        each with the bounds of its interval (precision_low, …), which is as sure as the groups that a score rests on
        let it be: those that hold the class for recall, those with such an answer for precision, the fewer of the two
        for f1. A score with nothing to divide by (never predicted, or support 0) is NaN.

    Raises:
        InputError: for arrays that `check_predictions` refuses, or another number of names.
    """
    values = check_predictions(y_true, probabilities)
    check_class_names(class_names, values.shape[1])
    answers = values.argmax(axis=1) if chosen is None else chosen
    sums = group_statistics(y_true, values, answers, resamples.codes)
    table = {"class": list(class_names), "support": sums.support.sum(axis=0).astype(np.int64)}
    answered, held = ((counts > 0).sum(axis=0) for counts in (sums.predicted, sums.support))
    groups = {"precision": answered, "recall": held, "f1": np.minimum(answered, held)}
    for name, columns in summed_class_metrics(sums.mix(resamples.weights)).items():
        pairs = zip(columns.T, groups[name], strict=True)
        bounds = [_bounds(bootstrap_interval(column, int(count), share=True)) for column, count in pairs]
        table |= dict(zip((name, f"{name}_low", f"{name}_high"), zip(*bounds, strict=True), strict=True))
    return pd.DataFrame(table)


def read_intervals(table: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """Read intervals by model and metric from the tables of several models, stacked with a column ``model``."""
    keys = zip(table["model"].astype(str), table["metric"].astype(str), strict=True)
    bounds = table[["value", "low", "high"]].to_numpy(np.float64)
    return {key: Interval(*map(float, row)) for key, row in zip(keys, bounds, strict=True)}


def surest_accuracy(right: NDArray[np.bool_], confidence: FloatArray, share: float) -> float:
    """Accuracy over the surest ``share`` of the answers, at least one; of equally sure ones the first come first."""
    count = max(1, round(share * len(right)))
    return float(right[np.argsort(-confidence, kind="stable")[:count]].mean())


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


def _warn_of_absent(y_true: IntArray, class_names: Sequence[str]) -> None:
    absent = sorted(set(range(len(class_names))) - set(np.unique(y_true).tolist()))
    if absent:
        names = ", ".join(class_names[index] for index in absent)
        logger.warning("No test images of class %s: the averages leave it out.", names)


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _names(class_names: Sequence[str] | None, classes: int) -> Sequence[str]:
    names = [str(label) for label in range(classes)] if class_names is None else class_names
    check_class_names(names, classes)
    return names


BINS = 15
"""Equal bins of confidence for the calibration error, as in Guo et al. 2017."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class GroupStatistics:
    """Sums over images, one row per group, or per mixture of groups.

    Attributes:
        correct: (rows, k) images of each class that were answered right.
        support: (rows, k) images of each class.
        predicted: (rows, k) answers of each class.
        loss: (rows, 2) sums of the log loss and of the Brier score.
        bins: (rows, 3, BINS) images, their confidence and their right answers by bin of confidence.
    """

    correct: Values
    support: Values
    predicted: Values
    loss: Values
    bins: Values

    def mix(self, weights: Values) -> "GroupStatistics":
        """Return the sums of weighted groups: weights (b, rows) give b rows."""
        bins = (weights @ self.bins.reshape(len(self.bins), -1)).reshape(len(weights), 3, BINS)
        return GroupStatistics(
            weights @ self.correct, weights @ self.support, weights @ self.predicted, weights @ self.loss, bins
        )

    def plus(self, other: "GroupStatistics") -> "GroupStatistics":
        """Return the sums of both, row by row."""
        return GroupStatistics(
            self.correct + other.correct,
            self.support + other.support,
            self.predicted + other.predicted,
            self.loss + other.loss,
            self.bins + other.bins,
        )


def group_statistics(y_true: IntArray, probabilities: FloatArray, chosen: IntArray, codes: IntArray) -> GroupStatistics:
    """Sum up each group's answers.

    Args:
        y_true: (n,) class indices.
        probabilities: (n, k) float64, rows summing to 1.
        chosen: (n,) class index of each answer.
        codes: (n,) group of each image, 0 to g - 1.
    """
    groups, classes = int(codes.max()) + 1, probabilities.shape[1]
    right = (chosen == y_true).astype(np.float64)
    confidence = probabilities.max(axis=1)
    bins = confidence_bins(confidence)

    def table(columns: IntArray, width: int, weights: Values | None = None) -> Values:
        return np.bincount(codes * width + columns, weights, groups * width).reshape(groups, width).astype(np.float64)

    # Of two classes the Brier score is that of one of them, as everybody means it; of more it is the sum over all.
    brier = ((probabilities - np.eye(classes)[y_true]) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    zeros = np.zeros_like(y_true)
    binned = [
        table(bins, BINS),
        table(bins, BINS, confidence),
        table(bins, BINS, (probabilities.argmax(axis=1) == y_true).astype(np.float64)),
    ]
    return GroupStatistics(
        correct=table(y_true, classes, right),
        support=table(y_true, classes),
        predicted=table(chosen, classes),
        loss=np.concatenate([table(zeros, 1, log_losses(y_true, probabilities)), table(zeros, 1, brier)], axis=1),
        bins=np.stack(binned, axis=1),
    )


def confidence_bins(confidence: FloatArray) -> NDArray[np.int64]:
    """Bin of each confidence (n,) in [0, 1]: 0 to BINS - 1."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def log_losses(y_true: IntArray, probabilities: FloatArray) -> Values:
    """Return the log loss of each image in nats, (n,)."""
    return -log_probabilities(probabilities[np.arange(len(y_true)), y_true])


def log_probabilities(probabilities: FloatArray) -> Values:
    """Return logarithms of probabilities clipped to [2.2e-16, 1 - 2.2e-16], so that all are finite."""
    eps = np.finfo(np.float64).eps
    return np.log(np.clip(probabilities.astype(np.float64), eps, 1 - eps))


def summed_metrics(sums: GroupStatistics) -> dict[str, Values]:
    """Compute what can be computed from sums: accuracy, balanced_accuracy, f1_macro, log_loss, brier, ece; (rows,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = sums.support.sum(axis=1)
        gaps = np.abs(sums.bins[:, 1] - sums.bins[:, 2]).sum(axis=1)
        return {
            "accuracy": sums.correct.sum(axis=1) / total,
            "balanced_accuracy": _mean(sums.correct / sums.support),
            "f1_macro": _mean(2 * sums.correct / (sums.support + sums.predicted)),
            "log_loss": sums.loss[:, 0] / total,
            "brier": sums.loss[:, 1] / total,
            "ece": gaps / total,
        }


def summed_class_metrics(sums: GroupStatistics) -> dict[str, Values]:
    """Compute precision, recall and f1 of each class, (rows, k); NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": sums.correct / sums.predicted,
            "recall": sums.correct / sums.support,
            "f1": 2 * sums.correct / (sums.support + sums.predicted),
        }


def _mean(values: Values) -> Values:
    """Mean over the classes that have a value; a resample may hold none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=1)


BLOCK = 2**22
"""Numbers worked on at a time: some 100 MB of scratch, however many images and resamples there are."""


def ranking_metrics(
    positive: NDArray[np.bool_], scores: FloatArray, resamples: Resamples
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute ROC AUC and average precision of every resample; images of equal score share a place.

    Args:
        positive: (n,) whether each image is of the class that is sought.
        scores: (n,) higher for likelier.
        resamples: Of the n images.

    Returns:
        Two arrays (b + 1,); NaN for a resample that lacks positives or negatives.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    codes, is_positive = resamples.codes[order], positive[order]
    areas, precisions = [], []
    for weights in _blocks(resamples.weights, len(scores)):
        drawn = weights[:, codes]
        hits = np.add.reduceat(drawn * is_positive, starts, axis=1)
        misses = np.add.reduceat(drawn * ~is_positive, starts, axis=1)
        above, beside = hits.cumsum(axis=1), misses.cumsum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append((misses * (above - hits / 2)).sum(axis=1) / (above[:, -1] * beside[:, -1]))
            precision = np.nan_to_num(above / (above + beside))
            precisions.append((hits * precision).sum(axis=1) / above[:, -1])
    return np.concatenate(areas), np.concatenate(precisions)


def _blocks(rows: NDArray[np.float64], width: int) -> Iterator[NDArray[np.float64]]:
    step = max(1, BLOCK // max(width, 1))
    return (rows[start : start + step] for start in range(0, len(rows), step))
