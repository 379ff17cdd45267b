"""Cache the outcomes of a scan on disk, so that a killed scan resumes and a later scan reads only changed files.

Rows are stored in shards, each written once and atomically. If a file is read again, its new row is stored in a later
shard. Only the last row of a path is used.
"""

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.paths import FileState
from goodbad_pipeline.images.reading import THUMBNAIL_BYTES, Outcome, ReadSettings

FORMAT_VERSION = 5  # increase it when rows or the code that makes them change: all files are then read again
SHARD_ROWS = 8192
SHARD_SECONDS = 5.0  # at most this much work is lost if the scan is killed

_SHARD = pa.schema(
    [
        ("path", pa.string()),
        *((name, pa.int64()) for name in FileState._fields),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("image_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("animated", pa.bool_()),
        ("pixel_id", pa.string()),
        ("fingerprint", pa.int64()),
        ("thumbnail", pa.binary(THUMBNAIL_BYTES)),
    ]
)


class ScanCache:
    """The cached rows of one root and one :class:`ReadSettings`; a context manager that locks the root.

    ``folder`` holds all scan caches and can be deleted at any time. Entering the context deletes rows of the same root
    with other settings, and raises an InputError if another process is scanning the root.
    """

    def __init__(self, folder: Path, settings: ReadSettings) -> None:
        root, key = _cache_keys(settings)
        self._folder = folder / f"{root}-{key}"
        self._outdated = [other for other in folder.glob(f"{root}-*") if other.name != self._folder.name]
        self._lock = FileLock(folder / f".{root}.lock", timeout=0)
        self._shards: list[Path] = []
        self._pending: list[dict[str, object]] = []
        self._written = 0.0
        self.rows = 0

    def __enter__(self) -> "ScanCache":
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise InputError(
                f"images.root: another run is scanning this folder (lock {self._lock.lock_file}); wait until it ends"
            ) from error
        for folder in self._outdated:
            shutil.rmtree(folder, ignore_errors=True)
        self._written = time.monotonic()
        shards = sorted(self._folder.glob("[0-9]*.parquet"))  # names of temporary files begin with a dot
        self._shards = [file for file in shards if _is_whole(file)]
        self.rows = sum(pq.read_metadata(file).num_rows for file in self._shards)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.flush()
        finally:
            self._lock.release()

    def find(self, paths: pa.Array) -> np.ndarray:
        """Return the number of the last row of each path: int64, −1 for paths without a row."""
        if not self.rows:
            return np.full(len(paths), -1)
        cached = self._read(["path"]).column("path").combine_chunks()
        latest_first = cached.take(pa.array(np.arange(self.rows)[::-1]))
        index = pc.index_in(paths, value_set=latest_first).fill_null(self.rows)
        return self.rows - 1 - index.to_numpy()

    def read(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """Return ``columns`` of the cached rows with the numbers ``rows``, in the order of ``rows``."""
        table = self._read(columns)
        if len(rows) == len(table) and (rows == np.arange(len(rows))).all():
            return table
        return table.take(pa.array(rows))

    def thumbnails(self, rows: np.ndarray) -> pa.Array:
        """Return the thumbnails of ``rows``. Only the result and one shard are in memory at a time."""
        gathered = np.empty((len(rows), THUMBNAIL_BYTES), np.uint8)
        start = 0
        for shard in self._shards:
            column = pq.read_table(shard, columns=["thumbnail"]).column(0).combine_chunks()
            levels = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, THUMBNAIL_BYTES)
            here = np.flatnonzero((rows >= start) & (rows < start + len(column)))
            gathered[here] = levels[rows[here] - start]
            start += len(column)
        ends = np.arange(len(rows) + 1, dtype=np.int64) * THUMBNAIL_BYTES
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(gathered)]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(rows), buffers)

    def append(self, path: str, outcome: Outcome) -> int:
        """Append a row and return its number. Pending rows are written at least every few seconds."""
        state = outcome.state._asdict() if outcome.state else {}
        self._pending.append({"path": path, **state, **vars(outcome.result)})
        if len(self._pending) >= SHARD_ROWS or time.monotonic() - self._written > SHARD_SECONDS:
            self.flush()
        self.rows += 1
        return self.rows - 1

    def flush(self) -> None:
        """Write the pending rows as a shard."""
        if self._pending:
            shard = self._folder / f"{time.time_ns()}.parquet"
            with atomic_write(shard) as draft:
                pq.write_table(pa.Table.from_pylist(self._pending, schema=_SHARD), draft, compression="zstd")
            self._shards.append(shard)
            self._pending = []
        self._written = time.monotonic()

    def _read(self, columns: list[str]) -> pa.Table:
        parts = [pq.read_table(shard, columns=columns) for shard in self._shards]
        return pa.concat_tables(parts) if parts else _SHARD.empty_table().select(columns)


def _cache_keys(settings: ReadSettings) -> tuple[str, str]:
    """Return a hash of the root, and a hash of the settings and versions that affect the outcome of reading a file."""
    tools = {name: version(name) for name in ("Pillow", "simplejpeg", "numpy")}
    tools["HEIC"] = str(find_spec("pillow_heif") is not None)
    config = {**asdict(settings), "root": None, "limits": None, "format": FORMAT_VERSION, "tools": tools}
    root, key = os.fsencode(str(settings.root)), json.dumps(config, sort_keys=True).encode()
    return hashlib.sha256(root).hexdigest()[:12], hashlib.sha256(key).hexdigest()[:12]


def _is_whole(file: Path) -> bool:
    """Return True if a shard can be read. A power cut may leave an empty file."""
    try:
        return pq.read_schema(file).equals(_SHARD)
    except (pa.ArrowInvalid, OSError):
        return False
