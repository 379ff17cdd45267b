"""Which images a model was trained or selected on: what it says of them says nothing about others."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ENOUGH = 10
"""Images of each class that must be left to compare a model on, or all there are of it."""


@dataclass(frozen=True)
class Exposure:
    """Images that a model was trained or selected on, and those that the weights it started from had been.

    Attributes:
        digests: uint64, sorted and distinct: the digest of each image_id, which is one of the file's content.
        complete: Whether there were no others; False where weights came from where nobody kept a record.
    """

    digests: NDArray[np.uint64]
    complete: bool

    def joined(self, other: "Exposure") -> "Exposure":
        """What either has seen."""
        return Exposure(np.union1d(self.digests, other.digests), self.complete and other.complete)

    def among(self, images: pd.DataFrame) -> NDArray[np.bool_]:
        """Mark the rows of images that were seen, or of whose group one was: frames of a scene are much alike.

        Args:
            images: Rows with image_id and group.
        """
        hit = pd.Series(np.isin(_digests(images["image_id"]), self.digests))
        groups = images["group"].reset_index(drop=True)
        return hit.groupby(groups).transform("any").to_numpy(bool)

    def write(self, file: Path) -> None:
        """Write it as arrays, 8 bytes an image."""
        np.savez(file, images=self.digests, complete=np.array(self.complete))

    @classmethod
    def read(cls, file: Path) -> "Exposure":
        """Read what :meth:`write` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            digests = arrays["images"] if "images" in arrays else arrays["pictures"]  # until 0.1: "pictures"
            return cls(digests, bool(arrays["complete"]))


NOTHING = Exposure(np.empty(0, np.uint64), complete=True)
UNKNOWN = Exposure(np.empty(0, np.uint64), complete=False)


def seen_in_training(splits: pd.DataFrame) -> Exposure:
    """Return what a model sees that is trained and selected on these splits: everything but the test."""
    return Exposure(np.unique(_digests(splits.loc[splits["split"] != "test", "image_id"])), complete=True)


def too_few_left(labels: "pd.Series[str]", seen: NDArray[np.bool_]) -> str | None:
    """Say which class has too few unseen images to compare models on; None where each has enough.

    Args:
        labels: (n,) class of each test image.
        seen: (n,) whether it was seen.
    """
    for label, total in labels.value_counts().sort_index().items():
        left = int((~seen & (labels == label).to_numpy()).sum())
        if left < min(ENOUGH, total):
            return f"only {left} of {total} images of '{label}' are new to it"
    return None


def _digests(image_ids: Iterable[str]) -> NDArray[np.uint64]:
    found = (hashlib.blake2b(str(one).encode(), digest_size=8).digest() for one in image_ids)
    return np.frombuffer(b"".join(found), np.dtype("<u8")).astype(np.uint64)
