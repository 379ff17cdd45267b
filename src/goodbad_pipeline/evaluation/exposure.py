"""Exposure: which images a model was trained or selected on, so that its test metrics exclude them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MIN_IMAGES = 10
"""Unexposed images of each class that a comparison needs, or all images of the class if there are fewer."""


@dataclass(frozen=True)
class Exposure:
    """Images that a model, or the weights it started from, were trained or selected on.

    Attributes:
        digests: uint64, sorted and distinct: a digest of each image_id, which is a digest of the file's content.
        complete: Whether these are all; False if the provenance of the weights is unknown.
    """

    digests: NDArray[np.uint64]
    complete: bool

    def union(self, other: "Exposure") -> "Exposure":
        """Return the images of either."""
        return Exposure(np.union1d(self.digests, other.digests), self.complete and other.complete)

    def exposed_rows(self, images: pd.DataFrame) -> NDArray[np.bool_]:
        """Return, for each row (image_id, group), whether the image or another image of its group is exposed."""
        exposed = pd.Series(np.isin(_digests(images["image_id"]), self.digests))
        groups = images["group"].reset_index(drop=True)
        return exposed.groupby(groups).transform("any").to_numpy(bool)

    def write(self, file: Path) -> None:
        """Write an .npz file, 8 bytes per image."""
        np.savez(file, images=self.digests, complete=np.array(self.complete))

    @classmethod
    def read(cls, file: Path) -> "Exposure":
        """Read the result of :meth:`write`."""
        with np.load(file, allow_pickle=False) as arrays:
            digests = arrays["images"] if "images" in arrays else arrays["pictures"]  # until 0.1: "pictures"
            return cls(digests, bool(arrays["complete"]))


NOTHING = Exposure(np.empty(0, np.uint64), complete=True)
UNKNOWN = Exposure(np.empty(0, np.uint64), complete=False)


def split_exposure(splits: pd.DataFrame) -> Exposure:
    """Return the exposure of a model trained and selected on these splits: all images outside the test split."""
    return Exposure(np.unique(_digests(splits.loc[splits["split"] != "test", "image_id"])), complete=True)


def too_few_unexposed(labels: "pd.Series[str]", exposed: NDArray[np.bool_]) -> str | None:
    """Return, as a clause, which class has too few unexposed images for a comparison; None if all have enough."""
    for label, total in labels.value_counts().sort_index().items():
        left = int((~exposed & (labels == label).to_numpy()).sum())
        if left < min(MIN_IMAGES, total):
            return f"only {left} of {total} images of '{label}' are new to it"
    return None


def _digests(image_ids: Iterable[str]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(str(one).encode(), digest_size=8).digest() for one in image_ids)
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)
