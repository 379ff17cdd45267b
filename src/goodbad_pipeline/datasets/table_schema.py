"""Table schemas for the key ``validator`` of a catalog entry; Kedro checks the table at each save and load."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.splits import SPLITS
from goodbad_pipeline.review.issues import ISSUES

RULES: dict[str, tuple[str, Callable[[pd.Series], pd.Series]]] = {
    "text": ("non-empty text", lambda column: column.notna() & (column.astype(str).str.strip() != "")),
    "text or empty": ("text, which may be empty", lambda column: column.map(lambda cell: isinstance(cell, str))),
    "sha256": ("64 hexadecimal digits", lambda column: column.astype(str).str.fullmatch("[0-9a-f]{64}")),
    "count": ("an integer >= 1", lambda column: (column >= 1) & (column % 1 == 0)),
    "split": (f"one of {', '.join(SPLITS)}", lambda column: column.isin(SPLITS)),
    "fraction": ("a number from 0 to 1", lambda column: column.between(0, 1)),
    "issue": (f"one of {', '.join(ISSUES)}, or ''", lambda column: column.isin(["", *ISSUES])),
    "split or none": (f"one of {', '.join(SPLITS)}, or nothing", lambda column: column.isna() | column.isin(SPLITS)),
}


class TableSchema:
    """Columns that a table must have, and rules that each row must meet.

    Pandera is not used, because it needs 72 s to check four columns of a million rows; this class needs 0.5 s.

    ``columns`` maps each rule in ``RULES`` to the columns that must meet the rule; a table may have further columns.
    Columns are not the keys, because Kedro would take the value of the key ``path`` for a file path. The column ``key``
    must have unique values. ``together`` maps a column to a second column: rows with equal values in the first column
    must have equal values in the second column.
    """

    def __init__(
        self,
        name: str,
        columns: Mapping[str, Sequence[str]],
        key: str | None = None,
        together: Mapping[str, str] | None = None,
    ) -> None:
        unknown = sorted(set(columns) - set(RULES))
        if unknown:
            raise ValueError(f"columns: a rule must be one of {', '.join(RULES)}, got '{unknown[0]}'")
        self._name, self._key, self._together = name, key, together or {}
        self._columns = {column: rule for rule, of_rule in columns.items() for column in of_rule}

    def validate(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the table unchanged, or raise `InputError` if a column is missing or a row breaks a rule."""
        missing = [column for column in self._columns if column not in data.columns]
        if missing:
            raise self._error(f"has no column '{missing[0]}'; it has: {', '.join(map(str, data.columns))}")
        for column, rule in self._columns.items():
            meaning, check = RULES[rule]
            valid = check(data[column]).fillna(False).astype(bool)
            if not valid.all():
                row = int((~valid).to_numpy().argmax())
                raise self._error(f"column '{column}' must hold {meaning}; row {row} has {data[column].iloc[row]!r}")
        if self._key and data[self._key].duplicated().any():
            repeated = data.loc[data[self._key].duplicated(), self._key].iloc[0]
            raise self._error(f"column '{self._key}' must have unique values; {repeated!r} is repeated")
        for shared, single in self._together.items():
            values = data.groupby(shared)[single].nunique(dropna=False)
            if (values > 1).any():
                raise self._error(f"{shared} {values.idxmax()!r} must have one {single}; it has {values.max()}")
        return data

    def _error(self, problem: str) -> InputError:
        return InputError(f"{self._name}: {problem}. Run --pipeline=data again, or undo the change to the table.")
