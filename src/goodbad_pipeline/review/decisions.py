"""Decisions of people about images of a review, in the corrections file.

Each decision is a row of the file of :mod:`goodbad_pipeline.images.corrections` and is written at once. A lock and
atomic replacement keep the rows if several processes write, or if a process is killed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from filelock import FileLock

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import writing
from goodbad_pipeline.images.corrections import COLUMNS, is_true, read_corrections, read_rows

Action = Literal["keep", "relabel", "exclude"]
KEPT = "looked at: label kept"
PATIENCE = 20  # seconds to wait for another process that writes the file


@dataclass(frozen=True)
class Decision:
    """A row of the corrections file: the image keeps ``label``, gets ``label``, or is excluded."""

    image_id: str
    label: str
    exclude: str  # "true" or "", as in the file
    keep: str
    why: str
    who: str
    when: str
    model_version: str

    @classmethod
    def of(cls, action: Action, image_id: str, label: str, why: str, who: str, when: str, model_version: str) -> Self:
        """Return the row of an action. ``why`` is the reason to relabel or exclude the image."""
        exclude, keep = ("true" if action == name else "" for name in ("exclude", "keep"))
        reason, author = KEPT if keep else " ".join(why.split()), " ".join(who.split())
        return cls(image_id, "" if exclude else label, exclude, keep, reason, author, when, model_version)

    def __str__(self) -> str:
        """Return the decision in words."""
        excluded, kept = is_true(pd.Series([self.exclude, self.keep]))
        if excluded:
            return "excluded"
        return f"kept as {self.label}" if kept else f"relabelled to {self.label}"


class CorrectionsFile:
    """The corrections file of a review. The file need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            read_corrections(path)  # an invalid row would end the next run

    def read(self) -> pd.DataFrame:
        """Return all rows of the file."""
        return read_rows(self.path) if self.path.exists() else pd.DataFrame(columns=list(COLUMNS), dtype=str)

    def add(self, decisions: Sequence[Decision], images: pd.DataFrame) -> list[Decision]:
        """Write the decisions about images that are not decided yet; return these decisions.

        ``images`` has the columns path, image_id and label of all images of ``decisions``.
        """
        with self._locked():
            rows = self.read()
            decided = set(images.loc[find_decided(rows, images), "image_id"])
            new = [decision for decision in decisions if decision.image_id not in decided]
            if new:
                self._write(pd.concat([rows, pd.DataFrame(map(asdict, new))]))
        return new

    def remove(self, decisions: Sequence[Decision]) -> int:
        """Remove the rows of these decisions, but no other row of the same images; return the number of rows."""
        written = {tuple(asdict(one).values()) for one in decisions}
        names = [field.name for field in fields(Decision)]
        with self._locked():
            rows = self.read()
            found = pd.Series([row in written for row in rows[names].itertuples(index=False, name=None)], rows.index)
            if found.any():
                self._write(rows[~found])
        return int(found.sum())

    def _write(self, rows: pd.DataFrame) -> None:
        with atomic_write(self.path) as draft:
            rows.reindex(columns=list(COLUMNS)).fillna("").to_csv(draft, index=False)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.path.with_name(f".{self.path.name}.lock")).acquire(PATIENCE)
        with held:
            yield


def find_decided(rows: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Return which images are decided: bool, one per row of ``images``.

    An image is decided if a row of the corrections file changes its label, excludes it, or keeps its present label.
    """
    keeps = is_true(rows["keep"])
    decided = pd.Series(False, images.index)
    for key in ("image_id", "path"):
        named = rows[rows[key] != ""]
        decided |= images[key].isin(named.loc[~keeps, key])
        kept = set(named.loc[keeps, [key, "label"]].itertuples(index=False, name=None))
        decided |= np.array([pair in kept for pair in zip(images[key], images["label"], strict=True)], bool)
    return decided
