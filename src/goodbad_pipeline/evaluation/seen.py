"""Which pictures a model was trained or selected on: what it says of them says nothing about others."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ENOUGH = 10
"""Pictures of each class that must be left to compare a model on, or all there are of it."""


@dataclass(frozen=True)
class Seen:
    """Pictures that a model was trained or selected on, and those that the weights it started from had been.

    Attributes:
        pictures: uint64, sorted and distinct: the digest of each image_id, which is one of the file's content.
        complete: Whether there were no others; False where weights came from where nobody kept a record.
    """

    pictures: NDArray[np.uint64]
    complete: bool

    def joined(self, other: "Seen") -> "Seen":
        """What either has seen."""
        return Seen(np.union1d(self.pictures, other.pictures), self.complete and other.complete)

    def among(self, images: pd.DataFrame) -> NDArray[np.bool_]:
        """Mark the rows of pictures that were seen, or of whose group one was: frames of a scene are much alike.

        Args:
            images: Rows with image_id and group.
        """
        hit = pd.Series(np.isin(_digests(images["image_id"]), self.pictures))
        groups = images["group"].reset_index(drop=True)
        return hit.groupby(groups).transform("any").to_numpy(bool)

    def write(self, file: Path) -> None:
        """Write it as arrays, 8 bytes a picture."""
        np.savez(file, pictures=self.pictures, complete=np.array(self.complete))

    @classmethod
    def read(cls, file: Path) -> "Seen":
        """Read what :meth:`write` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls(arrays["pictures"], bool(arrays["complete"]))


NOTHING = Seen(np.empty(0, np.uint64), complete=True)
UNKNOWN = Seen(np.empty(0, np.uint64), complete=False)


def seen_in_training(splits: pd.DataFrame) -> Seen:
    """Return what a model sees that is trained and selected on these splits: everything but the test."""
    return Seen(np.unique(_digests(splits.loc[splits["split"] != "test", "image_id"])), complete=True)


def too_few_left(labels: "pd.Series[str]", seen: NDArray[np.bool_]) -> str | None:
    """Say which class has too few unseen pictures to compare models on; None where each has enough.

    Args:
        labels: (n,) class of each test picture.
        seen: (n,) whether it was seen.
    """
    for label, total in labels.value_counts().sort_index().items():
        left = int((~seen & (labels == label).to_numpy()).sum())
        if left < min(ENOUGH, total):
            return f"only {left} of {total} pictures of '{label}' are new to it"
    return None


def _digests(image_ids: Iterable[str]) -> NDArray[np.uint64]:
    found = (hashlib.blake2b(str(one).encode(), digest_size=8).digest() for one in image_ids)
    return np.frombuffer(b"".join(found), np.dtype("<u8")).astype(np.uint64)
