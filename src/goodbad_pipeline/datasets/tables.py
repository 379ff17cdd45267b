"""Datasets of tables in CSV and Parquet files, some of them safe for spreadsheets or streamed in parts.

In the header of a CSV file, quotes mark the names of text columns. On load, the cells of text columns stay text: the
class 007 does not become the number 7, and the class NA does not become a missing value.
"""

import csv as plain_csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro_datasets import pandas
from kedro_datasets._typing import TablePreview
from pyarrow import csv

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets.files import AtomicSave
from goodbad_pipeline.datasets.load_only import PathDataset

# Arrow's own allocator does not free the memory of a table that was read: 250 MB for a million images.
pa.set_memory_pool(pa.system_memory_pool())

PART = 50_000  # number of rows that are read or written at a time
FORMULA = r"^('*[=+\-@\t\r])"
"""Matches the start of a cell that spreadsheets run as a formula (OWASP, CSV injection), also if it is escaped."""
ESCAPED_FORMULA = r"^'('*[=+\-@\t\r])"
_HEADER = 1 << 20  # characters that the names of all columns fit into
_NAME = re.compile(r'(?:"((?:[^"]|"")*)"|[^,"\r\n]*)(,?)')
_ALWAYS_QUOTED = re.compile(r'[,"\r\n]|^$')  # names that are quoted whatever the column contains


class _TypedCSV(pandas.CSVDataset):
    """Kedro's CSV dataset, but text such as 007 stays text. Arrow writes tables of text, 20 times as fast as pandas."""

    def load(self) -> pd.DataFrame:
        file = str(self._get_load_path())
        return pd.read_csv(file, **(_text_arguments(file) | self._load_args))

    def save(self, data: pd.DataFrame) -> None:
        if self._save_args != self.DEFAULT_SAVE_ARGS:
            super().save.__wrapped__(self, data)  # Kedro wraps this method already
        elif not _write_text_table(data, str(self._filepath)):
            _write_csv(iter([data]), Path(self._filepath))


class CSVDataset(AtomicSave, _TypedCSV):
    """A table in a CSV file."""


class SafeCSVDataset(CSVDataset):
    """A table in a CSV file with formulas escaped, because strangers may have chosen file, class or column names."""

    def save(self, data: pd.DataFrame) -> None:
        """Write the table with formulas escaped."""
        super().save(escape_formulas(data))

    def load(self) -> Any:
        """Return the table with formulas unescaped."""
        return unescape_formulas(super().load())


class ParquetDataset(AtomicSave, pandas.ParquetDataset):
    """A table in a Parquet file."""

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows for Kedro-Viz, without columns of bytes, which JSON cannot hold."""
        file = pq.ParquetFile(str(self._get_load_path()))
        shown = [field.name for field in file.schema_arrow if field.type not in (pa.binary(), pa.large_binary())]
        first = next(file.iter_batches(nrows, columns=shown), file.schema_arrow.empty_table().select(shown))
        return TablePreview(first.to_pandas().to_dict(orient="split"))


@dataclass(frozen=True)
class TableParts:
    """A table in a Parquet or CSV file that is read in parts. Each iteration reads the file from its start."""

    file: Path

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the parts in order."""
        if self.file.suffix == ".csv":
            with pd.read_csv(self.file, chunksize=PART, **_text_arguments(str(self.file))) as parts:
                yield from map(unescape_formulas, parts)
            return
        with pq.ParquetFile(self.file) as file:
            for batch in file.iter_batches(PART):
                yield batch.to_pandas()


class TableStreamDataset(PathDataset[Iterable[pd.DataFrame], TableParts]):
    """A table that is written and read in parts, so that only one part is in memory.

    The suffix of ``filepath`` selects the format: ``.parquet``, or ``.csv`` with formulas escaped.
    """

    def save(self, data: Iterable[pd.DataFrame]) -> None:
        """Write one or more parts. All parts must have the columns and types of the first part."""
        with atomic_write(self._filepath) as draft:
            if self._filepath.suffix == ".csv":
                _write_csv(map(escape_formulas, data), draft)
            else:
                _write_parquet(iter(data), draft)

    def load(self) -> TableParts:
        """Return the table without reading it."""
        return TableParts(self._filepath)


def escape_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Add an apostrophe before each text cell and column name that starts like a formula."""
    return _replace(table, FORMULA, r"'\1")


def unescape_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Undo :func:`escape_formulas`."""
    return _replace(table, ESCAPED_FORMULA, r"\1")


def _replace(table: pd.DataFrame, pattern: str, by: str) -> pd.DataFrame:
    texts = table.select_dtypes(include=["object", "string", "category"]).columns
    changed = {
        name: table[name].astype(object).replace(pattern, by, regex=True)
        for name in texts
        if _may_match(table[name], pattern)
    }
    replaced = table.assign(**changed) if changed else table.copy()
    replaced.columns = replaced.columns.astype(str).str.replace(pattern, by, regex=True)
    return replaced


def _may_match(column: pd.Series, pattern: str) -> bool:
    """Return False if no cell matches the pattern. For a column of mixed types, return True without a slow search."""
    return not isinstance(column.dtype, pd.StringDtype) or bool(column.str.match(pattern, na=False).any())


def _write_text_table(data: pd.DataFrame, file: str) -> bool:
    """Write a table of text columns. Return False if a column is not text; ``file`` may then be incomplete."""
    schema = pa.Schema.from_pandas(data.head(PART), preserve_index=False)
    if not all(kind in (pa.string(), pa.large_string()) for kind in schema.types):
        return False
    try:
        with csv.CSVWriter(file, schema) as writer:
            for start in range(0, max(1, len(data)), PART):
                part = data.iloc[start : start + PART]
                writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))
    except pa.ArrowException:  # a later part has other types
        return False
    return True


def _write_parquet(parts: Iterator[pd.DataFrame], file: Path) -> None:
    first = pa.Table.from_pandas(next(parts), preserve_index=False)
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(pa.Table.from_pandas(part, first.schema, preserve_index=False))


def _write_csv(parts: Iterator[pd.DataFrame], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        for number, part in enumerate(parts):
            if number == 0:
                stream.write(_header(part))
            part.to_csv(stream, index=False, header=False, quoting=plain_csv.QUOTE_NONNUMERIC)


def _header(table: pd.DataFrame) -> str:
    """Return the line of column names, in which the names of text columns are quoted."""
    quote = '"'
    names = []
    for name, column in table.items():
        text = str(name)
        quoted = _is_text(column) or _ALWAYS_QUOTED.search(text)
        names.append(f'"{text.replace(quote, quote * 2)}"' if quoted else text)
    return ",".join(names) + "\n"


def _is_text(column: pd.Series) -> bool:
    kind = column.dtype.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
    if isinstance(kind, np.dtype):
        return kind.hasobject and pd.api.types.infer_dtype(column, skipna=True) == "string"
    return isinstance(kind, pd.StringDtype)


def _text_arguments(file: str) -> dict[str, Any]:
    """Return the arguments with which `pandas.read_csv` keeps the text columns of a file as text."""
    with open(file, newline="", encoding="utf-8") as stream:
        head = stream.read(_HEADER)
    texts = []
    for cell in _NAME.finditer(head):
        name = (cell[1] or "").replace('""', '"')
        if not _ALWAYS_QUOTED.search(name):
            texts.append(name)
        if not cell[2]:
            break
    if not texts:
        return {}
    return {"dtype": dict.fromkeys(texts, str), "keep_default_na": False, "na_values": [""]}
