"""Kedro's file datasets, written whole or not at all: see :class:`goodbad_pipeline.atomic_files.AtomicSave`."""

from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro_datasets import json, matplotlib, pandas, plotly, text
from kedro_datasets._typing import TablePreview
from pyarrow import csv

from goodbad_pipeline.atomic_files import AtomicSave

# Arrow's own allocator keeps what reading a table took, a quarter of a gigabyte for a million images.
pa.set_memory_pool(pa.system_memory_pool())

PART = 50_000  # rows that are written at a time


class _FastCSV(pandas.CSVDataset):
    """Kedro's; what is text alone is written by Arrow, twenty times as fast, and quoted."""

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        if self._save_args != self.DEFAULT_SAVE_ARGS or not _write_text(data, str(self._filepath)):
            super().save.__wrapped__(self, data)  # Kedro's wrapper is around this one


def _write_text(data: pd.DataFrame, file: str) -> bool:
    """Write a table part by part, if all of it is text."""
    schema = pa.Schema.from_pandas(data.head(PART), preserve_index=False)
    if not all(kind in (pa.string(), pa.large_string()) for kind in schema.types):
        return False
    try:
        with csv.CSVWriter(file, schema) as writer:
            for start in range(0, max(1, len(data)), PART):
                part = data.iloc[start : start + PART]
                writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))
    except pa.ArrowException:  # a column of several kinds
        return False
    return True


class CSVDataset(AtomicSave, _FastCSV):
    """A table as CSV."""


class ParquetDataset(AtomicSave, pandas.ParquetDataset):
    """A table as Parquet."""

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows for Kedro-Viz, of a million too; without columns of bytes, for JSON has none."""
        file = pq.ParquetFile(str(self._get_load_path()))
        shown = [field.name for field in file.schema_arrow if field.type not in (pa.binary(), pa.large_binary())]
        first = next(file.iter_batches(nrows, columns=shown), file.schema_arrow.empty_table().select(shown))
        return TablePreview(first.to_pandas().to_dict(orient="split"))


class JSONDataset(AtomicSave, json.JSONDataset):
    """Plain values as JSON."""


class ChartDataset(AtomicSave, plotly.JSONDataset):
    """A Plotly chart as JSON."""


class TextDataset(AtomicSave, text.TextDataset):
    """A text."""


class FigureDataset(AtomicSave, matplotlib.MatplotlibDataset):
    """A figure, or a folder of them, saved as PNG to be looked at; one can be loaded to be put into a report."""

    # Sheets of images take half the time or less, and a tenth to a fifth more bytes, than at Matplotlib's level of 6.
    DEFAULT_SAVE_ARGS: ClassVar = {"pil_kwargs": {"compress_level": 1}}

    def load(self) -> bytes:
        """Return the PNG."""
        return Path(self._get_load_path()).read_bytes()
