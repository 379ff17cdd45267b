"""CSV manifests as they stand: `007` and `7` are two labels, `NA` is a name like another, only nothing is missing."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

_NO_NUMBER = ("", "NA", "N/A", "NaN", "nan", "null", "None")  # in a column of numbers
_LOSES_DIGITS = r"\s*[+-]?(0\d|\d{16})"
"""Zeros in front, or more digits than a number of 64 bits is sure to hold: a code, no quantity."""


def read_manifest_csv(file: Path, text: Collection[str | None]) -> pd.DataFrame:
    """Read a CSV file; a cell that is empty is missing.

    Args:
        file: The file.
        text: Columns to leave as they are written, whatever they look like. Others become numbers where all that they
            hold are numbers, with no digit lost.

    Returns:
        Columns of text and of nullable numbers.

    Raises:
        ValueError: The file is no CSV, or not in UTF-8.
    """
    raw = pd.read_csv(file, dtype=str, keep_default_na=False)
    return raw.apply(lambda column: _filled(column) if column.name in text else _as_numbers(column))


def _filled(column: pd.Series) -> pd.Series:
    return column.where(column != "")


def _as_numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if it is one of numbers, else as text."""
    known = column.where(~column.isin(_NO_NUMBER))
    if known.isna().all() or known.str.match(_LOSES_DIGITS).any():
        return _filled(column)
    try:
        return pd.to_numeric(known, dtype_backend="numpy_nullable")
    except ValueError:
        return _filled(column)
