"""Kedro's file datasets, written whole or not at all: see :class:`goodbad_pipeline.datasets.atomic.AtomicSave`."""

from pathlib import Path

import pyarrow
from kedro_datasets import json, matplotlib, pandas, plotly, text

from goodbad_pipeline.datasets.atomic import AtomicSave

# Arrow's own allocator keeps what reading a table took, a quarter of a gigabyte for a million pictures.
pyarrow.set_memory_pool(pyarrow.system_memory_pool())


class CSVDataset(AtomicSave, pandas.CSVDataset):
    """A table as CSV."""


class ParquetDataset(AtomicSave, pandas.ParquetDataset):
    """A table as Parquet."""


class JSONDataset(AtomicSave, json.JSONDataset):
    """Plain values as JSON."""


class ChartDataset(AtomicSave, plotly.JSONDataset):
    """A Plotly chart as JSON."""


class TextDataset(AtomicSave, text.TextDataset):
    """A text."""


class FigureDataset(AtomicSave, matplotlib.MatplotlibDataset):
    """A figure, or a folder of them, saved to be looked at; a figure can be loaded to be put into a report."""

    def load(self) -> bytes:
        """Return the PNG."""
        return Path(self._get_load_path()).read_bytes()
