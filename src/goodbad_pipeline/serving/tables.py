"""Answers about many files as tables, a block at a time."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from goodbad_pipeline.images.paths import read_inside
from goodbad_pipeline.images.reasons import Reason, SetAside
from goodbad_pipeline.images.streams import PathStream
from goodbad_pipeline.serving.classifier import Classifier

BLOCK = 256
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
            yield answer_table(block, self.paths.root, self.classifier)
        if empty:
            yield answer_table([], self.paths.root, self.classifier)


def answer_table(paths: list[str | None], root: Path, classifier: Classifier) -> pd.DataFrame:
    """Read and classify files.

    Returns:
        path, image_id (SHA-256 of the file), label, probability (of that label), abstained, reason and detail (both
        missing for a picture), milliseconds (the file's share of its block's), and ``probability_<class>`` a class.
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


def _read(root: Path, path: str | None) -> bytes | SetAside:
    if path is None:
        return SetAside(Reason.MISSING, "the manifest's row has no path")
    found = read_inside(root, path)
    return found if isinstance(found, SetAside) else found[0]


def _identity(file: bytes | SetAside) -> str | None:
    return None if isinstance(file, SetAside) else hashlib.sha256(file).hexdigest()
