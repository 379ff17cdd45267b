"""Accuracy on parts of the test split: one row for each value of each column that the manifest brought."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.resampling import Resamples, bootstrap_interval

OURS = (
    "image_id", "path", "label", "group", "source_split", "split", "pixel_id", "fingerprint", "thumbnail"
)  # fmt: skip
"""Columns of the labels dataframe that are no property of a picture."""
MOST_VALUES = 12
MISSING = "(missing)"
LONGEST = 1e16
"""Whole numbers from here on are not written in full: doubles are further apart than one."""
SLICE_COLUMNS = ["column", "value", "images", "groups", "accuracy", "low", "high"]


def slice_values(table: pd.DataFrame) -> pd.DataFrame:
    """Turn each column that describes pictures into few values, as text.

    Numbers of more than `MOST_VALUES` values become quarters, named by their ends, rare texts one value `(other)`. A
    column that says the same of all pictures, or that names nearly each, is left out; `why_no_slices` tells why.

    Args:
        table: Rows of the labels dataframe.
    """
    kept = {str(name): _few_values(table[name]) for name in table.columns if why_no_slices(table, name) is None}
    return pd.DataFrame(kept, index=table.index)


def why_no_slices(table: pd.DataFrame, name: str) -> str | None:
    """Say, as the end of a sentence, why `slice_values` leaves a column of the table out; None where it does not."""
    column = table[name]
    if name in OURS:
        return "it is no property of a picture"
    if not pd.api.types.is_numeric_dtype(column):
        if column.map(lambda value: isinstance(value, bytes | list | dict | np.ndarray)).any():
            return "it holds no texts or numbers"
        if column.nunique() > max(2, len(column) // 2):
            return f"its {column.nunique()} values name nearly each of {len(column)} pictures"
    if _few_values(column).nunique() < 2:
        return f"it says the same of all {len(column)} pictures, or of nearly all"
    return None


def slice_table(values: pd.DataFrame, right: NDArray[np.bool_], resamples: Resamples) -> pd.DataFrame:
    """Measure accuracy on each slice, with its 95 % interval.

    Args:
        values: (n rows) what `slice_values` gave.
        right: (n,) whether each answer is right.
        resamples: Of the n pictures.

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
    """Sum ``weights`` (n,), or count pictures, by group and slice: (g, slices)."""
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
