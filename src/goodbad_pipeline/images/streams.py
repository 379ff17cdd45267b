"""The paths of a folder or manifest, some at a time: there may be more than memory holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.sources import DEFAULT_MANIFESTS, walk_files


@dataclass(frozen=True)
class PathStream:
    """Where paths come from.

    Attributes:
        root: What they are relative to.
        manifest: The file that lists them; None for every file below ``root``.
        column: The manifest's column of paths.
    """

    root: Path
    manifest: Path | None
    column: str

    def blocks(self, size: int) -> Iterator[list[str | None]]:
        """Yield at most ``size`` paths at a time, in order; None where a manifest's row has none.

        Raises:
            InputError: The manifest cannot be read or has no such column; a folder cannot be read.
        """
        if self.manifest is None:
            files = walk_files(self.root, Counter())
            while block := list(islice(files, size)):
                yield list(block)
            return
        for column in self._columns(self.manifest, size):
            yield [None if pd.isna(cell) or not str(cell).strip() else str(cell) for cell in column]

    def _columns(self, manifest: Path, size: int) -> Iterator[Any]:
        try:
            if manifest.suffix.lower() in (".parquet", ".pq"):
                with pq.ParquetFile(manifest) as file:
                    for batch in file.iter_batches(size, columns=self._column_of(manifest, file.schema_arrow.names)):
                        yield batch.column(0).to_pylist()
            else:
                names = list(pd.read_csv(manifest, nrows=0).columns)
                wanted = self._column_of(manifest, names)
                with pd.read_csv(manifest, chunksize=size, usecols=wanted, dtype=str, keep_default_na=False) as parts:
                    for part in parts:
                        yield part[self.column]
        except InputError:
            raise
        except Exception as error:  # pandas and pyarrow raise their own types on broken files
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"predict.source: must be a folder, or a readable CSV or Parquet manifest, got '{manifest}' ({reason})"
            ) from error

    def _column_of(self, manifest: Path, names: list[str]) -> list[str]:
        if self.column not in names:
            raise InputError(
                f"images.columns.path: '{manifest.name}' has no column '{self.column}'; it has: {', '.join(names)}"
            )
        return [self.column]


def open_source(source: Path, column: str) -> PathStream:
    """Plan the reading of a folder (by the labels.csv or labels.parquet in it, if there is one) or of a manifest.

    Raises:
        InputError: There is no such folder or file.
    """
    if source.is_dir():
        listed = (source / name for name in DEFAULT_MANIFESTS)
        return PathStream(source, next((file for file in listed if file.is_file()), None), column)
    if source.is_file():
        return PathStream(source.parent, source, column)
    raise InputError(f"predict.source: must be an existing folder or manifest, got '{source}'")
