"""How far apart a model treats the values of a column that was declared sensitive."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.resampling import Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.slices import sum_by_slice

FEWEST_IMAGES = 10
"""Values of fewer test pictures are left out: their rates say little, and the gap is made by its extremes."""
FAIRNESS_COLUMNS = ["column", "measure", "gap", "low", "high", "lowest", "highest", "images", "groups"]

Mask = NDArray[np.bool_]


def fairness_table(
    sensitive: pd.DataFrame, labels: pd.Series, predicted: pd.Series, resamples: Resamples, class_names: Sequence[str]
) -> pd.DataFrame:
    """Measure the gap between the best and the worst treated value of each sensitive column.

    Rates of being called a class, and of that being right or wrong (demographic parity, equalised odds), are those of
    the last of two classes, and of each of more.

    Args:
        sensitive: (n rows) declared columns, few values each.
        labels: (n,) true classes.
        predicted: (n,) answered classes.
        resamples: Of the n pictures.
        class_names: The k classes.

    Returns:
        `FAIRNESS_COLUMNS`: gap in [0, 1] as fairlearn computes it, its 95 % interval, the values at its ends, and how
        many pictures and groups it rests on. A gap is never below 0, so its interval tells how large it may be, not
        whether it is there. Empty where fewer than two values have `FEWEST_IMAGES`.
    """
    rows = []
    for column in sensitive.columns:
        counts = sensitive[column].value_counts()
        kept = sensitive[column].isin(counts.index[counts >= FEWEST_IMAGES]).to_numpy()
        if (counts >= FEWEST_IMAGES).sum() > 1:
            part = sensitive[column][kept], labels[kept], predicted[kept]
            chosen = Resamples(resamples.codes[kept], resamples.weights)
            rows += [(column, *row) for row in _gaps(*part, chosen, class_names)]
    return pd.DataFrame(rows, columns=FAIRNESS_COLUMNS)


def check_sensitive(declared: Sequence[str], table: pd.DataFrame) -> None:
    """Raise `InputError` for a declared column that the labels dataframe has not."""
    for name in declared:
        if name not in table.columns:
            has = ", ".join(map(str, table.columns))
            raise InputError(f"evaluation.sensitive: the manifest has no column '{name}'; it has: {has}")


def _gaps(
    values: pd.Series, labels: pd.Series, predicted: pd.Series, resamples: Resamples, class_names: Sequence[str]
) -> list[tuple[Any, ...]]:
    everything = np.ones(len(values), dtype=np.bool_)
    right = (labels == predicted).to_numpy()
    size = len(values), len(np.unique(resamples.codes))
    rows = [("accuracy", *_gap(accuracy_score, labels, predicted, values, right, everything, resamples), *size)]
    for name in class_names[1:] if len(class_names) == 2 else class_names:
        truth, answer = (labels == name).to_numpy(), (predicted == name).to_numpy()
        for measure, score, hits, of in (
            (f"called {name}", selection_rate, answer, everything),
            (f"{name} called {name}", true_positive_rate, answer & truth, truth),
            (f"others called {name}", false_positive_rate, answer & ~truth, ~truth),
        ):
            rows.append((measure, *_gap(score, truth, answer, values, hits, of, resamples), *size))
    return rows


def _gap(
    score: Callable[..., float], truth: Any, answer: Any, values: pd.Series, hits: Mask, of: Mask, resamples: Resamples
) -> tuple[float, float, float, str, str]:
    frame = MetricFrame(metrics=score, y_true=truth, y_pred=answer, sensitive_features=values.to_numpy())
    codes, names = pd.factorize(values)
    above, below = (resamples.weights @ sum_by_slice(codes, len(names), resamples, part) for part in (hits, of))
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.where(below > 0, above / np.maximum(below, 1), np.nan)
    gaps = np.fmax.reduce(rates, axis=1) - np.fmin.reduce(rates, axis=1)
    interval = bootstrap_interval(np.r_[frame.difference(), gaps[1:]], resamples.groups)
    by_value = frame.by_group
    return interval.value, interval.low, interval.high, str(by_value.idxmin()), str(by_value.idxmax())
