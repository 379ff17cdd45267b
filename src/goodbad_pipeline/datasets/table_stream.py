"""Tables of any length: written and read part by part."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset

from goodbad_pipeline.atomic_files import replacing
from goodbad_pipeline.datasets.safe_csv import neutralise, restore

PART = 50_000


@dataclass(frozen=True)
class TableParts:
    """A stored table, to be gone through as often as one likes.

    Attributes:
        file: Parquet, or CSV.
    """

    file: Path

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield its parts in order."""
        if self.file.suffix == ".csv":
            with pd.read_csv(self.file, chunksize=PART) as parts:
                yield from map(restore, parts)
            return
        with pq.ParquetFile(self.file) as file:
            for batch in file.iter_batches(PART):
                yield batch.to_pandas()


class TableStreamDataset(AbstractDataset[Iterable[pd.DataFrame], TableParts]):
    """Writes parts as they come, to Parquet or, neutralised, to CSV; no more than one is in memory.

    Args:
        filepath: Its suffix says which, ``.parquet`` or ``.csv``.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: Iterable[pd.DataFrame]) -> None:
        """Write every part; all have the columns and types of the first, of which there must be one."""
        with replacing(self._filepath) as draft:
            write = _write_csv if self._filepath.suffix == ".csv" else _write_parquet
            write(iter(data), draft)

    def load(self) -> TableParts:
        """Return the table, unread."""
        return TableParts(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _write_parquet(parts: Iterator[pd.DataFrame], file: Path) -> None:
    first = pa.Table.from_pandas(next(parts), preserve_index=False)
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(pa.Table.from_pandas(part, first.schema, preserve_index=False))


def _write_csv(parts: Iterator[pd.DataFrame], file: Path) -> None:
    with file.open("w", newline="") as stream:
        for number, part in enumerate(parts):
            neutralise(part).to_csv(stream, index=False, header=number == 0)
