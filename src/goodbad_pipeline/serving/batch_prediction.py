"""Tables with the predictions of many files, computed in blocks."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from goodbad_pipeline.images.paths import Root, find_state, read_inside
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.sources import PathStream
from goodbad_pipeline.serving.classifier import Classifier

BLOCK = 256
BLOCK_BYTES = 256 << 20  # maximum total size of the files in memory, and maximum size of one file
PREFIX = "probability_"
TEXTS = ["path", "image_id", "label", "reason", "detail"]


@dataclass(frozen=True)
class PredictionStream:
    """Tables with the predictions of files; each table is computed when the iteration reaches it."""

    paths: PathStream
    classifier: Classifier

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield tables with the columns of :func:`classify_files`: at least one table, each with at most 256 files."""
        blocks = self.paths.blocks(BLOCK)
        for block in chain([next(blocks, [])], blocks):  # without files, one empty table
            for part in _parts(block, self.paths.root):
                yield classify_files(part, self.paths.root, self.classifier)


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
        and detail of a rejection (else missing), milliseconds (mean per file), and ``probability_<class>`` per class.
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


def _read(root: Root, path: str | None) -> bytes | Rejection:
    if path is None:
        return Rejection(Reason.MISSING, "the manifest's row has no path")
    return read_inside(root, path, max_bytes=BLOCK_BYTES).content
