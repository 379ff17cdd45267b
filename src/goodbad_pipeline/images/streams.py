"""The paths of a folder or manifest, in blocks, because there may be more than fit in memory."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.sources import DEFAULT_MANIFESTS, PARQUET_SUFFIXES, walk_files


@dataclass(frozen=True)
class PathStream:
    """A source of paths.

    Attributes:
        root: Folder that the paths are relative to.
        manifest: File that lists the paths; None for every file below ``root``.
        column: The manifest's column of paths.
    """

    root: Path
    manifest: Path | None
    column: str

    def blocks(self, size: int) -> Iterator[list[str | None]]:
        """Yield at most ``size`` paths at a time, in order; None for rows of a manifest without a path.

        Raises:
            InputError: The manifest cannot be read or lacks the column, or a folder cannot be read.
        """
        if self.manifest is None:
            files = walk_files(self.root, Counter())
            while block := list(islice(files, size)):
                yield [*block]
            return
        for column in self._columns(self.manifest, size):
            yield [None if pd.isna(cell) or not str(cell).strip() else str(cell) for cell in column]

    def _columns(self, manifest: Path, size: int) -> Iterator[Any]:
        try:
            if manifest.suffix.lower() in PARQUET_SUFFIXES:
                with pq.ParquetFile(manifest) as file:
                    for batch in file.iter_batches(size, columns=self._column_of(manifest, file.schema_arrow.names)):
                        yield batch.column(0).to_pylist()
            else:
                names = list(pd.read_csv(manifest, nrows=0).columns)
                columns = self._column_of(manifest, names)
                with pd.read_csv(manifest, chunksize=size, usecols=columns, dtype=str, keep_default_na=False) as parts:
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
    """Return the paths of a manifest, or of a folder and the labels.csv or labels.parquet in it, if there is one.

    Raises:
        InputError: ``source`` does not exist.
    """
    if source.is_dir():
        manifests = (source / name for name in DEFAULT_MANIFESTS)
        return PathStream(source, next((file for file in manifests if file.is_file()), None), column)
    if source.is_file():
        return PathStream(source.parent, source, column)
    raise InputError(f"predict.source: must be an existing folder or manifest, got '{source}'")
