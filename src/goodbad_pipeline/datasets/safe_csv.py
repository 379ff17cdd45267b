"""CSV files that a spreadsheet opens without running what is in them."""

from typing import Any

import pandas as pd

from goodbad_pipeline.datasets.files import CSVDataset

FORMULA = r"^('*[=+\-@\t\r])"
"""How a cell begins that a spreadsheet would run (OWASP, CSV injection), or that looks like one we neutralised."""
NEUTRALISED = r"^'('*[=+\-@\t\r])"


def neutralise(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts, names of columns too, that begin like a formula; numbers stay numbers."""
    return _replace(table, FORMULA, r"'\1")


def restore(table: pd.DataFrame) -> pd.DataFrame:
    """Undo :func:`neutralise`."""
    return _replace(table, NEUTRALISED, r"\1")


def _replace(table: pd.DataFrame, pattern: str, by: str) -> pd.DataFrame:
    texts = table.select_dtypes(include=["object", "string", "category"]).columns
    changed = {
        name: table[name].astype(object).replace(pattern, by, regex=True)
        for name in texts
        if _may_match(table[name], pattern)
    }
    safe = table.assign(**changed) if changed else table.copy()
    safe.columns = safe.columns.astype(str).str.replace(pattern, by, regex=True)
    return safe


def _may_match(column: pd.Series, pattern: str) -> bool:
    """Whether a cell has to be changed: columns of nothing but text can be asked fast, and hardly ever do."""
    return not isinstance(column.dtype, pd.StringDtype) or bool(column.str.match(pattern, na=False).any())


class SafeCSVDataset(CSVDataset):
    """Kedro's CSV, for tables that hold what others wrote: names of files, of classes, of columns."""

    def save(self, data: pd.DataFrame) -> None:
        """Write the table, neutralised."""
        super().save(neutralise(data))

    def load(self) -> Any:
        """Return the table as it was."""
        return restore(super().load())
