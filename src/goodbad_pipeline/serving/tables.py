"""Answers about many files as tables, a block at a time."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from goodbad_pipeline.images.paths import find_state, read_inside
from goodbad_pipeline.images.reasons import Reason, Rejection
from goodbad_pipeline.images.streams import PathStream
from goodbad_pipeline.serving.classifier import Classifier

BLOCK = 256
BLOCK_BYTES = 256 << 20  # of files in memory at a time, and of one of them
PREFIX = "probability_"
TEXTS = ["path", "image_id", "label", "reason", "detail"]


@dataclass(frozen=True)
class AnswerStream:
    """Answers that are given while one goes through them.

    Attributes:
        paths: Which files.
        classifier: Who answers.
    """

    paths: PathStream
    classifier: Classifier

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield tables of at most 256 files, at least one table; see :func:`answer_table` for the columns."""
        empty = True
        for block in self.paths.blocks(BLOCK):
            empty = False
            for part in _parts(block, self.paths.root):
                yield answer_table(part, self.paths.root, self.classifier)
        if empty:
            yield answer_table([], self.paths.root, self.classifier)


def _parts(paths: list[str | None], root: Path) -> Iterator[list[str | None]]:
    """Divide a block where its files together would take too much memory."""
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


def answer_table(paths: list[str | None], root: Path, classifier: Classifier) -> pd.DataFrame:
    """Read and classify files.

    Returns:
        path, image_id (SHA-256 of the file), label, probability (of that label), abstained, reason and detail (both
        missing for an image), milliseconds (the file's share of its block's), and ``probability_<class>`` a class.
    """
    start = time.perf_counter()
    resolved = root.resolve()
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(lambda path: _read(resolved, path), paths))
    answers = classifier.classify(files)
    table = pd.DataFrame({"path": paths, "image_id": [_identity(file) for file in files]}, dtype=object)
    table = table.join(answers.drop(columns="probabilities"))
    table["milliseconds"] = 1000 * (time.perf_counter() - start) / max(1, len(paths))
    for name in classifier.calibration.class_names:
        table[f"{PREFIX}{name}"] = [found[name] if found else None for found in answers["probabilities"]]
    numbers = ["probability", *(name for name in table.columns if name.startswith(PREFIX))]
    return table.astype(dict.fromkeys(TEXTS, "string") | dict.fromkeys(numbers, "float64") | {"abstained": "bool"})


def _read(root: Path, path: str | None) -> bytes | Rejection:
    if path is None:
        return Rejection(Reason.MISSING, "the manifest's row has no path")
    return read_inside(root, path, most=BLOCK_BYTES).content


def _identity(file: bytes | Rejection) -> str | None:
    return file.image_id if isinstance(file, Rejection) else hashlib.sha256(file).hexdigest()
