"""Accuracy on parts of the test split: one row for each value of each column that the manifest brought."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.bootstrap import Resamples, bootstrap_interval

logger = logging.getLogger(__name__)

OURS = (
    "image_id", "path", "label", "group", "source_split", "split", "pixel_id", "fingerprint", "thumbnail"
)  # fmt: skip
"""Columns of the labels dataframe that are no property of an image."""
MOST_VALUES = 12
MISSING = "(missing)"
LONGEST = 1e16
"""Whole numbers from here on are not written in full: doubles are further apart than one."""
SLICE_COLUMNS = ["column", "value", "images", "groups", "accuracy", "low", "high"]


def slice_values(table: pd.DataFrame) -> pd.DataFrame:
    """Turn each column that describes images into few values, as text.

    Numbers of more than `MOST_VALUES` values become quarters, named by their ends, rare texts one value `(other)`. A
    column that says the same of all images, or that names nearly each, is left out; `why_no_slices` tells why.

    Args:
        table: Rows of the labels dataframe.
    """
    kept = {str(name): _few_values(table[name]) for name in table.columns if why_no_slices(table, name) is None}
    return pd.DataFrame(kept, index=table.index)


def why_no_slices(table: pd.DataFrame, name: str) -> str | None:
    """Say, as the end of a sentence, why `slice_values` leaves a column of the table out; None where it does not."""
    column = table[name]
    if name in OURS:
        return "it is no property of an image"
    if not pd.api.types.is_numeric_dtype(column):
        if column.map(lambda value: isinstance(value, bytes | list | dict | np.ndarray)).any():
            return "it holds no texts or numbers"
        if column.nunique() > max(2, len(column) // 2):
            return f"its {column.nunique()} values name nearly each of {len(column)} images"
    if _few_values(column).nunique() < 2:
        return f"it says the same of all {len(column)} images, or of nearly all"
    return None


def slice_table(values: pd.DataFrame, right: NDArray[np.bool_], resamples: Resamples) -> pd.DataFrame:
    """Measure accuracy on each slice, with its 95 % interval.

    Args:
        values: (n rows) what `slice_values` gave.
        right: (n,) whether each answer is right.
        resamples: Of the n images.

    Returns:
        `SLICE_COLUMNS`, one row per slice, largest first within a column; a slice of one group has no interval.
    """
    rows: list[tuple[Any, ...]] = []
    for column in values.columns:
        codes, names = pd.factorize(values[column], sort=True)
        hits, counts = (sum_by_slice(codes, len(names), resamples, part) for part in (right, None))
        with np.errstate(invalid="ignore"):
            accuracy = (resamples.weights @ hits) / (resamples.weights @ counts)
        groups = (counts > 0).sum(axis=0)
        for index in np.argsort(-counts.sum(axis=0), kind="stable"):
            interval = bootstrap_interval(accuracy[:, index], int(groups[index]), share=True)
            size = int(counts[:, index].sum()), int(groups[index])
            rows.append((column, str(names[index]), *size, interval.value, interval.low, interval.high))
    return pd.DataFrame(rows, columns=SLICE_COLUMNS)


def sum_by_slice(
    codes: NDArray[np.int64], slices: int, resamples: Resamples, weights: Sequence[float] | NDArray[Any] | None
) -> NDArray[np.float64]:
    """Sum ``weights`` (n,), or count images, by group and slice: (g, slices)."""
    cells = resamples.codes * slices + codes
    summed = np.bincount(cells, weights, resamples.groups * slices)
    return summed.reshape(resamples.groups, slices).astype(np.float64)


def _few_values(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        if column.nunique() > MOST_VALUES:
            return _quarters(column.astype("Float64").astype(float))
        names = _spell(column.dropna().unique().tolist())
        return column.astype(object).map(names, na_action="ignore").fillna(MISSING)
    text = column.astype("string").astype(object).where(column.notna(), MISSING)
    frequent = text.value_counts()
    if len(frequent) <= MOST_VALUES:
        return text
    kept = frequent.index[: MOST_VALUES - 1]
    return text.where(text.isin(kept), f"(other: {len(frequent) - len(kept)} values)")


def _quarters(column: pd.Series) -> pd.Series:
    quarter = pd.qcut(column, 4, labels=False, duplicates="drop")
    ends = column.groupby(quarter).agg(["min", "max"])
    names = _spell(ends.to_numpy().ravel().tolist())
    spans = {
        part: names[low] if low == high else f"{names[low]} to {names[high]}" for part, low, high in ends.itertuples()
    }
    return quarter.astype(object).map(spans, na_action="ignore").fillna(MISSING)


def _spell(numbers: Sequence[float]) -> dict[float, str]:
    """Write whole numbers in full, others with the fewest digits, four at least, that tell them apart."""
    if all(isinstance(number, int) or (number.is_integer() and abs(number) < LONGEST) for number in numbers):
        return {number: str(int(number)) for number in numbers}
    for digits in range(4, 18):
        names = {number: f"{number:.{digits}g}" for number in numbers}
        if len(set(names.values())) == len(names):
            break
    return names


FEWEST_IMAGES = 10
"""Values with fewer images to divide by are left out: their rates say little, and the gap is made by its extremes."""
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
        resamples: Of the n images.
        class_names: The k classes.

    Returns:
        `FAIRNESS_COLUMNS`: gap in [0, 1] as fairlearn computes it, its 95 % interval, the values at its ends, and how
        many images and groups its rates divide by. A rate counts of values with `FEWEST_IMAGES` to divide by; a gap
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
        y_true, answer = (labels == name).to_numpy(), (predicted == name).to_numpy()
        rates += [
            (f"called {name}", selection_rate, y_true, answer, answer, everything),
            (f"{name} called {name}", true_positive_rate, y_true, answer, answer & y_true, y_true),
            (f"others called {name}", false_positive_rate, y_true, answer, answer & ~y_true, ~y_true),
        ]
    rows = []
    for measure, score, y_true, answer, hits, of in rates:
        kept = _common(values, of)
        if kept.any():
            rows.append((measure, *_gap(score, y_true, answer, values, kept, hits, of, resamples)))
        else:
            logger.warning(
                "%s: no gap in '%s', for fewer than two values have %d images of those it is a share of",
                f"evaluation.sensitive: {values.name}",
                measure,
                FEWEST_IMAGES,
            )
    return rows


def _common(values: pd.Series, of: Mask) -> Mask:
    """Which images are of a value with `FEWEST_IMAGES` among ``of``; none where fewer than two values are."""
    counts = values[of].value_counts()
    common = counts.index[counts >= FEWEST_IMAGES]
    kept: Mask = values.isin(common).to_numpy() if len(common) > 1 else np.zeros(len(values), dtype=np.bool_)
    return kept


def _gap(
    score: Score, y_true: Any, answer: Any, values: pd.Series, kept: Mask, hits: Mask, of: Mask, resamples: Resamples
) -> tuple[float, float, float, str, str, int, int]:
    from fairlearn.metrics import MetricFrame  # noqa: PLC0415 - slow to import

    values, y_true, answer, hits, of = values[kept], y_true[kept], answer[kept], hits[kept], of[kept]
    frame = MetricFrame(metrics=score, y_true=y_true, y_pred=answer, sensitive_features=values.to_numpy())
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
