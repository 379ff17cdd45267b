"""Scan the candidates (the files that a source lists): read every file once, and either accept or quarantine it."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from goodbad_pipeline.images.formats import Colour
from goodbad_pipeline.images.paths import FileState, Root, find_states
from goodbad_pipeline.images.progress import Progress
from goodbad_pipeline.images.reading import MEASURED_COLUMNS, Limits, ReadSettings, Task
from goodbad_pipeline.images.rejections import QUARANTINE_COLUMNS, TEMPORARY, Reason
from goodbad_pipeline.images.scan_cache import ScanCache
from goodbad_pipeline.images.worker_backend import WorkerBackend
from goodbad_pipeline.images.workers import Stop, read_batches

logger = logging.getLogger(__name__)

BATCH = 64  # files per message to a worker
_DIRECT_COLUMNS = MEASURED_COLUMNS[:-1]  # all but the thumbnails, which the cache gathers shard by shard
_NO_ROW = -1
_STATES = 65_536  # file states in memory at a time


@dataclass(frozen=True)
class Scan:
    """The result of a scan: every candidate is in exactly one of the two tables.

    ``images`` has the columns path, label, group, source_split, the manifest's other columns, and image_id (SHA-256 of
    the file), width, height (upright, in pixels), format, animated, size (bytes), pixel_id (BLAKE3 of the decoded
    pixels), fingerprint (64-bit difference hash) and thumbnail (RGB bytes).
    """

    images: pd.DataFrame
    quarantine: pd.DataFrame


def scan_candidates(
    candidates: pd.DataFrame,
    root: Root,
    *,
    max_pixels: int,
    background: Colour,
    tiff: bool = False,
    limits: Limits | None = None,
    backend: WorkerBackend | None = None,
    cache_folder: Path | None = None,
    trust_timestamps: bool = True,
    stop: Stop | None = None,
) -> Scan:
    """Read, hash and decode every candidate; paths are relative to ``root``. The source folder is never written to.

    By default, one process per core of this machine reads files. With a ``cache_folder``, the next scan decodes only
    changed files. With ``trust_timestamps``, a file with unchanged size, times and inode is not even read. Without
    ``trust_timestamps``, every file is read, and files whose hash has changed are decoded. After a stop request, the
    outcomes of the files that were already read are stored, and then an error is raised.
    """
    settings = ReadSettings(root.resolve(), max_pixels, background, tiff, limits or Limits())
    with tempfile.TemporaryDirectory() as temporary, ScanCache(cache_folder or Path(temporary), settings) as cache:
        scanner = _Scanner(candidates, settings, cache)
        scanner.reuse_cached(trust_timestamps)
        scanner.read(backend or WorkerBackend(), stop)
        return scanner.tables()


class _Scanner:
    """A running scan. ``_rows`` holds the cache row of each candidate, or −1 while a candidate has no row."""

    def __init__(self, candidates: pd.DataFrame, settings: ReadSettings, cache: ScanCache) -> None:
        self._candidates = candidates.reset_index(drop=True)
        self._settings, self._cache = settings, cache
        self._paths = self._candidates["path"].tolist()
        self._named = self._candidates["path"].notna().to_numpy()
        again = self._named & self._candidates["path"].duplicated().to_numpy()
        self._to_read = self._named & ~again
        # Rows that give a path another label, group or split are kept, for group_duplicates to reconcile.
        self._repeated = again & self._candidates.duplicated(["path", "label", "group", "split"]).to_numpy()
        self._differing = np.flatnonzero(again & ~self._repeated)
        self._rows = np.full(len(candidates), _NO_ROW)
        self._hashes: dict[int, str] = {}

    def reuse_cached(self, trust_timestamps: bool) -> None:
        """Reuse cached rows of unchanged files. If timestamps are not trusted, load cached hashes for comparison."""
        cached = self._cache.find(pa.array(self._paths, pa.string(), from_pandas=True))
        positions = np.flatnonzero((cached != _NO_ROW) & self._to_read)
        if trust_timestamps:
            positions = positions[self._is_unchanged(positions, cached[positions])]
        else:
            values = self._cache.read(cached[positions], ["image_id", "reason"]).to_pandas()
            usable = (values["image_id"].notna() & ~values["reason"].isin(TEMPORARY)).to_numpy()
            positions = positions[usable]
            self._hashes = dict(zip(positions.tolist(), values["image_id"][usable], strict=True))
        self._rows[positions] = cached[positions]

    def _is_unchanged(self, positions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        columns = self._cache.read(rows, list(FileState._fields)).columns
        cached = np.stack([column.fill_null(_NO_ROW).to_numpy() for column in columns], axis=1)
        unchanged = np.zeros(len(positions), bool)
        for start in range(0, len(positions), _STATES):
            part = slice(start, start + _STATES)
            states = find_states(self._settings.root, [self._paths[position] for position in positions[part]])
            unchanged[part] = (states == cached[part]).all(axis=1)
        return unchanged

    def read(self, backend: WorkerBackend, stop: Stop | None) -> None:
        """Read the files that have no usable cache row, and append their outcomes to the cache."""
        readable = np.flatnonzero(self._to_read)
        left = [int(position) for position in readable if self._rows[position] == _NO_ROW or position in self._hashes]
        if len(left) < len(readable):
            logger.info("Unchanged files: %d; files to read: %d", len(readable) - len(left), len(left))
        batches = [left[start : start + BATCH] for start in range(0, len(left), BATCH)]
        tasks = ([Task(self._paths[position], self._hashes.get(position)) for position in batch] for batch in batches)
        with Progress("Scanning", "read", len(left)) as progress:
            # After a stop request, there are fewer outcomes than files.
            for positions, outcomes in zip(batches, read_batches(tasks, self._settings, backend, stop), strict=False):
                for position, outcome in zip(positions, outcomes, strict=False):
                    if outcome.result is not None:
                        self._rows[position] = self._cache.append(self._paths[position], outcome)
                progress.advance(len(positions))
        self._cache.flush()
        if stop is not None:
            stop.check("during the scan")
        if len(self._differing):
            paths = self._candidates["path"]
            first = pd.Series(readable, paths.iloc[readable]).loc[paths.iloc[self._differing]]
            self._rows[self._differing] = self._rows[first.to_numpy()]

    def tables(self) -> Scan:
        """Assemble the two tables column by column, because there may be millions of rows."""
        has_row = self._rows != _NO_ROW
        cached = self._cache.read(self._rows[has_row], [*_DIRECT_COLUMNS, "reason", "detail"])
        reasons = cached.column("reason").to_pandas().to_numpy(object)
        accepted = np.zeros(len(has_row), bool)
        accepted[has_row] = pd.isna(reasons)
        accepted &= self._candidates["label"].notna().to_numpy()
        quarantine = self._quarantine(accepted, has_row, cached)
        if not accepted[has_row].all():
            cached = cached.filter(accepted[has_row])
        images = self._candidates if accepted.all() else self._candidates[accepted].reset_index(drop=True)
        images = images.rename(columns={"split": "source_split"})
        for name in _DIRECT_COLUMNS:
            images[name] = cached.column(name).to_pandas()
        thumbnails = self._cache.thumbnails(self._rows[accepted])
        images["thumbnail"] = pd.Series(thumbnails, dtype=pd.ArrowDtype(thumbnails.type))
        return Scan(images, quarantine)

    def _quarantine(self, accepted: np.ndarray, has_row: np.ndarray, cached: pa.Table) -> pd.DataFrame:
        """Return the quarantine rows of all candidates that are not accepted, in the order of the candidates."""
        columns = ["reason", "detail", "size", "image_id"]
        cached_rows = iter(cached.select(columns).filter(~accepted[has_row]).to_pylist())
        rows = []
        labels = self._candidates["label"].tolist()
        for position in np.flatnonzero(~accepted):
            if self._repeated[position]:
                row = {"reason": Reason.LISTED_TWICE, "detail": "an earlier row of the manifest is the same"}
            elif not self._named[position]:
                row = {"reason": Reason.MISSING, "detail": "the manifest's row has no path"}
            elif (row := next(cached_rows))["reason"] is None:
                row |= {"reason": Reason.NO_LABEL, "detail": "file in no class folder, or with an empty label"}
            rows.append({**row, "path": self._paths[position], "label": labels[position], "reason": str(row["reason"])})
        return pd.DataFrame(rows, columns=QUARANTINE_COLUMNS).astype({"size": "Int64"})
