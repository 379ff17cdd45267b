"""Tables of metrics with their 95 % intervals: by metric, by class, by model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.bootstrap import Interval, Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.metrics import Values, group_statistics, summed_class_metrics
from goodbad_pipeline.evaluation.predictions import IntArray, Predictions

SHARES = ("accuracy", "balanced_accuracy", "roc_auc", "average_precision")
"""Metrics whose best value a small sample can reach by chance."""
BY_CLASS = ("balanced_accuracy", "f1_macro", "roc_auc", "average_precision")
"""Metrics whose uncertainty is that of the class with the fewest groups."""
WITHOUT_INTERVAL = ("ece",)
"""Metrics that are biased upward on few images; resampling adds the same bias again, so that its interval is wrong."""


def interval_table(metrics: Mapping[str, Values], y_true: IntArray, resamples: Resamples) -> pd.DataFrame:
    """Return the intervals of `resampled_metrics`: one row per metric with metric, value, low, high.

    The bounds of `WITHOUT_INTERVAL` are NaN.
    """
    fewest = min(len(np.unique(resamples.codes[y_true == label])) for label in np.unique(y_true))
    rows = []
    for name, values in metrics.items():
        if name in WITHOUT_INTERVAL:
            interval = Interval(float(values[0]), np.nan, np.nan)
        else:
            groups = fewest if name in BY_CLASS else resamples.groups
            interval = bootstrap_interval(values, groups, share=name in SHARES)
        rows.append((name, *_bounds(interval)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def read_intervals(table: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """Read intervals by model and metric from several `interval_table`s, stacked with a column ``model``."""
    keys = zip(table["model"].astype(str), table["metric"].astype(str), strict=True)
    bounds = table[["value", "low", "high"]].to_numpy(np.float64)
    return {key: Interval(*map(float, row)) for key, row in zip(keys, bounds, strict=True)}


def comparison_table(intervals: pd.DataFrame) -> pd.DataFrame:
    """Return the values of stacked `interval_table`s: one row per metric, columns ``metric`` and one per model."""
    models = {str(name): part["value"].to_numpy() for name, part in intervals.groupby("model", sort=False)}
    return pd.DataFrame({"metric": intervals["metric"].unique(), **models})


def per_class_metrics(predictions: Predictions, resamples: Resamples) -> pd.DataFrame:
    """Compute precision, recall and F1 of each class, with intervals.

    Returns:
        One row per class, in order: class, support (its images), then precision, recall and f1 in [0, 1], each with the
        bounds of its interval (precision_low, …). The interval rests on the groups that hold the class for recall,
        those with such a prediction for precision, and the fewer of the two for f1. A score with denominator 0 is NaN.
    """
    sums = group_statistics(predictions.y_true, predictions.probabilities, predictions.predicted, resamples.codes)
    table = {"class": list(predictions.class_names), "support": sums.support.sum(axis=0).astype(np.int64)}
    predicted, present = ((counts > 0).sum(axis=0) for counts in (sums.predicted, sums.support))
    groups = {"precision": predicted, "recall": present, "f1": np.minimum(predicted, present)}
    for name, columns in summed_class_metrics(sums.mix(resamples.weights)).items():
        pairs = zip(columns.T, groups[name], strict=True)
        bounds = [_bounds(bootstrap_interval(column, int(count), share=True)) for column, count in pairs]
        table |= dict(zip((name, f"{name}_low", f"{name}_high"), zip(*bounds, strict=True), strict=True))
    return pd.DataFrame(table)


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high
