"""Tables with the predictions of many files, computed in blocks."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from socket import gethostname

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.paths import Root, Store, find_state, read_inside
from goodbad_pipeline.images.progress import Progress
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.sources import PathStream
from goodbad_pipeline.images.worker_backend import WorkerBackend
from goodbad_pipeline.serving.classifier import Classifier

BLOCK = 256
BLOCK_BYTES = 256 << 20  # maximum total size of the files in memory, and maximum size of one file
PREFIX = "probability_"
TEXTS = ["path", "image_id", "label", "reason", "detail"]


@dataclass(frozen=True)
class Workers:
    """Processes that predict files, such as those of a Dask cluster."""

    backend: WorkerBackend
    load: Callable[[], Classifier]  # runs in the processes


@dataclass(frozen=True)
class PredictionStream:
    """Tables with the predictions of files; each table is computed when the iteration reaches it."""

    paths: PathStream
    classifier: Classifier
    workers: Workers | None = None  # None predicts in this process

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield tables with the columns of :func:`classify_files`: at least one table, each with at most 256 files."""
        if self.workers is not None:
            yield from _classify_in(self.workers, self._parts(), self.paths.root)
            return
        for part in self._parts():
            yield classify_files(part, self.paths.root, self.classifier)

    def _parts(self) -> Iterator[list[str | None]]:
        blocks = self.paths.blocks(BLOCK)
        for block in chain([next(blocks, [])], blocks):  # without files, one empty table
            yield from _parts(block, self.paths.root)


def _parts(paths: list[str | None], root: Root) -> Iterator[list[str | None]]:
    """Split a block into parts whose files fit into memory."""
    part: list[str | None] = []
    left = BLOCK_BYTES
    for path in paths:
        state = find_state(root, path) if path is not None else None
        size = state.size if state and state.size <= BLOCK_BYTES else 0
        if part and size > left:
            yield part
            part, left = [], BLOCK_BYTES
        part.append(path)
        left -= size
    yield part


def classify_files(paths: list[str | None], root: Root, classifier: Classifier) -> pd.DataFrame:
    """Read and classify the files with these paths, relative to ``root``.

    Returns:
        One row per file: path, image_id (SHA-256 of the file), label, probability (of that label), abstained, reason
        and detail (only of rejected files), milliseconds (mean per file), and ``probability_<class>`` per class.
    """
    start = time.perf_counter()
    resolved = root.resolve()
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda path: _read(resolved, path), paths))
    predictions = classifier.classify(files)
    ids = [file.image_id if isinstance(file, Rejection) else hashlib.sha256(file).hexdigest() for file in files]
    table = pd.DataFrame({"path": paths, "image_id": ids}, dtype=object)
    table = table.join(predictions.drop(columns="probabilities"))
    table["milliseconds"] = 1000 * (time.perf_counter() - start) / max(1, len(paths))
    for name in classifier.calibration.class_names:
        table[f"{PREFIX}{name}"] = [row[name] if row else None for row in predictions["probabilities"]]
    numbers = ["probability", *(name for name in table.columns if name.startswith(PREFIX))]
    return table.astype(dict.fromkeys(TEXTS, "string") | dict.fromkeys(numbers, "float64") | {"abstained": "bool"})


def _classify_in(workers: Workers, parts: Iterator[list[str | None]], root: Root) -> Iterator[pd.DataFrame]:
    """Yield the tables of the parts, in order."""
    parameter, resolved = workers.backend.parameter, root.resolve()
    calls = ((part, _only(resolved, part), workers.load) for part in parts)
    last = time.perf_counter()
    with Progress("Predicting", "predicted") as progress:
        for table in workers.backend.map(_classify_in_worker, calls):
            if isinstance(table, str):
                raise InputError(f"{parameter}: {table}")
            _require_same_files(table, resolved, parameter)
            now = time.perf_counter()
            table["milliseconds"] = 1000 * (now - last) / max(1, len(table))
            last = now
            progress.advance(len(table))
            yield table


def _only(root: Root, part: list[str | None]) -> Root:
    return root.only([path for path in part if path is not None]) if isinstance(root, Store) else root


def _classify_in_worker(paths: list[str | None], root: Root, load: Callable[[], Classifier]) -> pd.DataFrame | str:
    """Return the table of :func:`classify_files`, or an error message if this machine cannot predict.

    The message is returned, not raised, because Ray and Spark bury raised errors in a traceback.
    """
    try:
        if isinstance(root, Path) and not root.is_dir():
            raise InputError(f"{root}: no such folder; every machine needs the same files under the same paths")
        return classify_files(paths, root, load())
    except InputError as error:
        return f"a worker on {gethostname()} cannot predict: {error}"


def _require_same_files(table: pd.DataFrame, root: Root, parameter: str) -> None:
    """Raise an InputError if a worker did not find a local file that exists here."""
    for path in table.loc[table["reason"] == Reason.MISSING, "path"].dropna():
        if isinstance(root, Path) and find_state(root, path) is not None:
            raise InputError(
                f"{parameter}: a worker did not find {root / path}; every machine needs the same files under the same "
                "paths"
            )


def _read(root: Root, path: str | None) -> bytes | Rejection:
    if path is None:
        return Rejection(Reason.MISSING, "the manifest's row has no path")
    return read_inside(root, path, max_bytes=BLOCK_BYTES).content
