"""Accuracy on slices of the test split, and gaps between the values of sensitive columns (fairness).

A slice is the test images that share one value of a column, such as one camera.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.bootstrap import Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.predictions import BoolArray

logger = logging.getLogger(__name__)

OWN_COLUMNS = (
    "image_id", "path", "label", "group", "source_split", "split", "pixel_id", "fingerprint", "thumbnail"
)  # fmt: skip
"""Columns that serve the pipeline and do not describe the image."""
_ID = re.compile(r"(^|[^a-zA-Z])(?i:id|idx|no|nr|number)$|[a-z]I[dD]$|^(?i:index)$|^Unnamed: \d+$")
"""Matches names of columns with numbers that identify rows or things; pandas names its index ``Unnamed: 0``."""
MAX_VALUES = 12
MISSING = "(missing)"
LARGEST_WHOLE = 1e16
"""Whole numbers of this size or more are not written in full, because doubles of this size are more than 1 apart."""
MIN_IMAGES = 10
"""The gaps ignore values with fewer images in a rate's denominator, as such rates are often extreme by chance."""
SLICE_COLUMNS = ["column", "value", "images", "groups", "accuracy", "low", "high"]
FAIRNESS_COLUMNS = ["column", "measure", "gap", "low", "high", "lowest", "highest", "images", "groups"]


def slice_values(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that describe the images, converted to text with few distinct values.

    More than `MAX_VALUES` distinct numbers in a column become four ranges, divided at the quartiles. A number or range
    with only one image is merged with the next lower number or range. If a column has more than `MAX_VALUES` distinct
    texts, all rare texts become one value, such as ``(other: 7 values)``.
    """
    values = {str(name): _few_values(table[name]) for name in table.columns if why_no_slices(table, name) is None}
    return pd.DataFrame(values, index=table.index)


def why_no_slices(table: pd.DataFrame, name: str) -> str | None:
    """Return a clause that says why `slice_values` leaves out a column; None if the column is kept."""
    return next(_reasons(table, name), None)


def slice_table(values: pd.DataFrame, correct: BoolArray, resamples: Resamples) -> pd.DataFrame:
    """Compute the accuracy and its 95 % interval for each slice of `slice_values`.

    The result has one row per slice, with `SLICE_COLUMNS`. The slices of a column are sorted by size. A slice with only
    one group has no interval.
    """
    rows: list[tuple[Any, ...]] = []
    for column in values.columns:
        codes, names = pd.factorize(values[column], sort=True)
        accuracy, counts = slice_rates(codes, len(names), resamples, correct)
        groups = (counts > 0).sum(axis=0)
        for index in np.argsort(-counts.sum(axis=0), kind="stable"):
            interval = bootstrap_interval(accuracy[:, index], int(groups[index]), share=True)
            size = int(counts[:, index].sum()), int(groups[index])
            rows.append((column, str(names[index]), *size, *interval))
    return pd.DataFrame(rows, columns=SLICE_COLUMNS)


def slice_rates(
    codes: NDArray[np.int64], slices: int, resamples: Resamples, hits: BoolArray, population: BoolArray | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each slice, compute the share of its images that are ``hits``.

    If ``population`` is given, only the images in ``population`` count.

    Returns:
        Shares on the original sample and each resample, (b + 1, slices), and numbers of images per group, (g, slices).
    """
    sums, counts = (sum_by_slice(codes, slices, resamples, weights) for weights in (hits, population))
    with np.errstate(invalid="ignore"):
        return (resamples.weights @ sums) / (resamples.weights @ counts), counts


def sum_by_slice(
    codes: NDArray[np.int64], slices: int, resamples: Resamples, weights: NDArray[Any] | None
) -> NDArray[np.float64]:
    """Sum ``weights`` by group and slice; if ``weights`` is None, count the images. The result is (g, slices)."""
    cells = resamples.codes * slices + codes
    summed = np.bincount(cells, weights, resamples.groups * slices)
    return summed.reshape(resamples.groups, slices).astype(np.float64)


def fairness_table(
    sensitive: pd.DataFrame, labels: pd.Series, predicted: pd.Series, resamples: Resamples, class_names: Sequence[str]
) -> pd.DataFrame:
    """For each sensitive column and each rate, compute the largest gap between two values of the column.

    The rates are accuracy and three rates of each class: the share of images predicted as the class (demographic
    parity), and the true and false positive rates (equalised odds). Of two classes, only the second has these rates.

    Returns:
        `FAIRNESS_COLUMNS`: the gap in [0, 1], its 95 % interval, the values with the lowest and highest rate, and the
        numbers of images and groups in the denominators. Values with fewer than `MIN_IMAGES` images are ignored. If
        fewer than two values remain, there is no row, and a warning is logged. The value with the fewest groups
        determines how wide the interval is. With many values, some gap occurs by chance. The interval therefore shows
        how large the gap may be, not that a gap exists.
    """
    rows = [
        (column, *row)
        for column in sensitive.columns
        for row in _gaps(sensitive[column], labels, predicted, resamples, class_names)
    ]
    return pd.DataFrame(rows, columns=FAIRNESS_COLUMNS)


def check_sensitive(declared: Sequence[str], table: pd.DataFrame) -> None:
    """Raise `InputError` if a declared sensitive column is missing from ``table``."""
    for name in declared:
        if name not in table.columns:
            columns = ", ".join(map(str, table.columns))
            raise InputError(f"evaluation.sensitive: the manifest has no column '{name}'; it has: {columns}")


def _reasons(table: pd.DataFrame, name: str) -> Iterator[str]:
    """Yield the reasons to leave out a column."""
    column, images = table[name], len(table)
    if name in OWN_COLUMNS:
        yield "it does not describe the image"
    if pd.api.types.is_numeric_dtype(column):
        if _ID.search(name) and column.nunique() > MAX_VALUES:
            yield f"its {column.nunique()} numbers are ids"
    elif column.map(lambda value: isinstance(value, bytes | list | dict | np.ndarray)).any():
        yield "it holds neither text nor numbers"
    elif column.nunique() > max(2, images // 2):
        yield f"its {column.nunique()} values are nearly unique among {images} images"
    if _renames(column, table.get("label")):
        yield "it repeats the class: each value stands for one class"
    if _renames(column, table.get("group")) and (_ID.search(name) or column.nunique() > MAX_VALUES):
        yield "it repeats the group: each value stands for one group"
    if _few_values(column).nunique() < 2:
        yield f"it has the same value for all, or nearly all, of {images} images"


def _renames(column: pd.Series, other: pd.Series | None) -> bool:
    """Return whether the values of two columns correspond one to one."""
    pairs = pd.DataFrame({"value": column, "other": other}).dropna().drop_duplicates()
    return len(pairs) > 1 and bool(pairs["value"].is_unique and pairs["other"].is_unique)


def _few_values(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _number_ranges(column)
    text = column.astype("string").astype(object).where(column.notna(), MISSING)
    frequent = text.value_counts()
    if len(frequent) <= MAX_VALUES:
        return text
    named = frequent.index[: MAX_VALUES - 1]
    return text.where(text.isin(named), f"(other: {len(frequent) - len(named)} values)")


def _number_ranges(column: pd.Series) -> pd.Series:
    if column.nunique() > MAX_VALUES:
        column = column.astype("Float64").astype(float)
        part = pd.qcut(column, 4, labels=False, duplicates="drop")
    else:
        part = column.rank(method="dense")
    several = part.value_counts().sort_index() > 1
    part = part.map(several.cumsum().clip(lower=1))  # joins a single image to the part before it, or to the first
    ends = column.groupby(part).agg(["min", "max"])
    names = _format_numbers(ends.to_numpy().ravel().tolist())
    spans = {
        part: names[low] if low == high else f"{names[low]} to {names[high]}" for part, low, high in ends.itertuples()
    }
    return part.astype(object).map(spans, na_action="ignore").fillna(MISSING)


def _format_numbers(numbers: Sequence[float]) -> dict[float, str]:
    """Format whole numbers in full, and fractions with four digits, or more if two numbers would look the same."""
    if all(isinstance(number, int) or (number.is_integer() and abs(number) < LARGEST_WHOLE) for number in numbers):
        return {number: str(int(number)) for number in numbers}
    for digits in range(4, 18):
        names = {number: f"{number:.{digits}g}" for number in numbers}
        if len(set(names.values())) == len(names):
            break
    return names


def _gaps(
    values: pd.Series, labels: pd.Series, predicted: pd.Series, resamples: Resamples, class_names: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    everything = np.ones(len(values), dtype=np.bool_)
    rates = [("accuracy", (labels == predicted).to_numpy(), everything)]
    for name in class_names[1:] if len(class_names) == 2 else class_names:
        actual, called = (labels == name).to_numpy(), (predicted == name).to_numpy()
        rates += [
            (f"called {name}", called, everything),
            (f"{name} called {name}", called, actual),
            (f"others called {name}", called, ~actual),
        ]
    for measure, hits, population in rates:
        included = _in_common_values(values, population)
        if included.any():
            yield measure, *_gap(values[included], hits[included], population[included], resamples, included)
        else:
            logger.warning(
                "evaluation.sensitive: the gap in '%s' between values of %s is not computed, because fewer than two "
                "values have at least %d images in the denominator of this rate",
                measure,
                values.name,
                MIN_IMAGES,
            )


def _in_common_values(values: pd.Series, population: BoolArray) -> BoolArray:
    """Select the images with values that at least `MIN_IMAGES` images in ``population`` have.

    If there are fewer than two such values, no image is selected.
    """
    counts = values[population].value_counts()
    common = counts.index[counts >= MIN_IMAGES]
    marked: BoolArray = values.isin(common).to_numpy() if len(common) > 1 else np.zeros(len(values), dtype=np.bool_)
    return marked


def _gap(
    values: pd.Series, hits: BoolArray, population: BoolArray, resamples: Resamples, included: BoolArray
) -> tuple[float, float, float, str, str, int, int]:
    drawn = Resamples(resamples.codes[included], resamples.weights)
    codes, names = pd.factorize(values)
    rates, counts = slice_rates(codes, len(names), drawn, hits & population, population)
    order = np.argsort(rates[0], kind="stable")
    gaps = rates[:, order[-1]] - rates[:, order[0]]
    fewest = int((counts > 0).sum(axis=0).min())
    interval = bootstrap_interval(gaps, fewest, share=True)
    size = int(population.sum()), len(np.unique(drawn.codes[population]))
    ends = str(names[order[0]]), str(names[order[-1]])
    return interval.value, float(np.maximum(interval.low, 0)), interval.high, *ends, *size
