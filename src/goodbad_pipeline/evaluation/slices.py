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
SLICE_COLUMNS = ["column", "value", "images", "groups", "accuracy", "low", "high"]


def slice_values(table: pd.DataFrame) -> pd.DataFrame:
    """Turn each column that describes pictures into few values, as text.

    Numbers of more than `MOST_VALUES` values become quarters, rare texts one value `(other)`. A column that says the
    same of all pictures, or that names nearly each, is left out.

    Args:
        table: Rows of the labels dataframe.
    """
    described = {
        str(name): _few_values(table[name]) for name in table.columns if name not in OURS and _describes(table[name])
    }
    kept = {name: values for name, values in described.items() if len(values.unique()) > 1}
    return pd.DataFrame(kept, index=table.index)


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


def _describes(column: pd.Series) -> bool:
    """Whether a column says something of pictures that several share."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    if column.map(lambda value: isinstance(value, bytes | list | dict | np.ndarray)).any():
        return False
    return column.nunique() <= max(2, len(column) // 2)


def _few_values(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        if column.nunique() > MOST_VALUES:
            return _quarters(column.astype("Float64").astype(float))
        return column.map("{:g}".format, na_action="ignore").astype(object).fillna(MISSING)
    text = column.astype("string").astype(object).where(column.notna(), MISSING)
    frequent = text.value_counts()
    if len(frequent) <= MOST_VALUES:
        return text
    kept = frequent.index[: MOST_VALUES - 1]
    return text.where(text.isin(kept), f"(other: {len(frequent) - len(kept)} values)")


def _quarters(column: pd.Series) -> pd.Series:
    cut = pd.qcut(column, 4, duplicates="drop")
    names = {part: f"{max(part.left, column.min()):.4g} to {part.right:.4g}" for part in cut.cat.categories}
    return cut.astype(object).map(names, na_action="ignore").fillna(MISSING)
