"""How far apart a model treats the values of a column that was declared sensitive."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.resampling import Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.slices import sum_by_slice

logger = logging.getLogger(__name__)

FEWEST_IMAGES = 10
"""Values with fewer pictures to divide by are left out: their rates say little, and the gap is made by its extremes."""
FAIRNESS_COLUMNS = ["column", "measure", "gap", "low", "high", "lowest", "highest", "images", "groups"]

Mask = NDArray[np.bool_]
Score = Callable[..., float]


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
        many pictures and groups its rates divide by. A rate counts of values with `FEWEST_IMAGES` to divide by; a gap
        between fewer than two such rates has no row, and a logged warning says so. The interval is that of the
        difference between the two values at the ends, cut off at 0, and as sure as the value of the fewest groups lets
        it be. Of many values some two lie apart by chance: there it tells how large the gap may be, not that it is.
    """
    rows = [
        (column, *row)
        for column in sensitive.columns
        for row in _gaps(sensitive[column], labels, predicted, resamples, class_names)
    ]
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
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate  # noqa: PLC0415 - slow to import
    from sklearn.metrics import accuracy_score  # noqa: PLC0415 - slow to import

    everything = np.ones(len(values), dtype=np.bool_)
    right = (labels == predicted).to_numpy()
    rates: list[tuple[str, Score, Any, Any, Mask, Mask]] = [
        ("accuracy", accuracy_score, labels.to_numpy(), predicted.to_numpy(), right, everything)
    ]
    for name in class_names[1:] if len(class_names) == 2 else class_names:
        truth, answer = (labels == name).to_numpy(), (predicted == name).to_numpy()
        rates += [
            (f"called {name}", selection_rate, truth, answer, answer, everything),
            (f"{name} called {name}", true_positive_rate, truth, answer, answer & truth, truth),
            (f"others called {name}", false_positive_rate, truth, answer, answer & ~truth, ~truth),
        ]
    rows = []
    for measure, score, truth, answer, hits, of in rates:
        kept = _common(values, of)
        if kept.any():
            rows.append((measure, *_gap(score, truth, answer, values, kept, hits, of, resamples)))
        else:
            logger.warning(
                "%s: no gap in '%s', for fewer than two values have %d pictures of those it is a share of",
                f"evaluation.sensitive: {values.name}",
                measure,
                FEWEST_IMAGES,
            )
    return rows


def _common(values: pd.Series, of: Mask) -> Mask:
    """Which pictures are of a value with `FEWEST_IMAGES` among ``of``; none where fewer than two values are."""
    counts = values[of].value_counts()
    common = counts.index[counts >= FEWEST_IMAGES]
    kept: Mask = values.isin(common).to_numpy() if len(common) > 1 else np.zeros(len(values), dtype=np.bool_)
    return kept


def _gap(
    score: Score, truth: Any, answer: Any, values: pd.Series, kept: Mask, hits: Mask, of: Mask, resamples: Resamples
) -> tuple[float, float, float, str, str, int, int]:
    from fairlearn.metrics import MetricFrame  # noqa: PLC0415 - slow to import

    values, truth, answer, hits, of = values[kept], truth[kept], answer[kept], hits[kept], of[kept]
    frame = MetricFrame(metrics=score, y_true=truth, y_pred=answer, sensitive_features=values.to_numpy())
    drawn = Resamples(resamples.codes[kept], resamples.weights)
    codes, names = pd.factorize(values)
    sums, counts = (sum_by_slice(codes, len(names), drawn, part) for part in (hits, of))
    with np.errstate(invalid="ignore"):
        rates = (resamples.weights @ sums) / (resamples.weights @ counts)
    order = np.argsort(rates[0], kind="stable")
    gaps = rates[1:, order[-1]] - rates[1:, order[0]]
    scarcest = int((counts > 0).sum(axis=0).min())
    interval = bootstrap_interval(np.r_[frame.difference(), gaps], scarcest, share=True)
    size = int(of.sum()), len(np.unique(drawn.codes[of]))
    ends = str(names[order[0]]), str(names[order[-1]])
    return interval.value, float(np.maximum(interval.low, 0)), interval.high, *ends, *size
