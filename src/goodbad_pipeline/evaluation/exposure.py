"""Exposure of a model: the images on which the model was trained or selected, which its test metrics must exclude."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MIN_IMAGES = 10
"""A comparison needs this many unexposed images of each class, or all images of a class that has fewer."""


@dataclass(frozen=True)
class Exposure:
    """Images on which a model, or its initial weights, were trained or selected."""

    digests: NDArray[np.uint64]  # digest of each image_id, sorted and distinct; 8 bytes instead of 64 per image
    complete: bool  # False if some images on which the model or its initial weights were trained are unknown

    def union(self, other: "Exposure") -> "Exposure":
        """Return the images of both exposures together."""
        return Exposure(np.union1d(self.digests, other.digests), self.complete and other.complete)

    def exposed_rows(self, images: pd.DataFrame) -> NDArray[np.bool_]:
        """Return an array that is True for each row whose group contains an exposed image."""
        exposed = pd.Series(np.isin(_digests(images["image_id"]), self.digests))
        groups = images["group"].reset_index(drop=True)
        return exposed.groupby(groups).transform("any").to_numpy(bool)

    def write(self, file: Path) -> None:
        """Write the exposure to an .npz file, with 8 bytes per image."""
        np.savez(file, images=self.digests, complete=np.array(self.complete))

    @classmethod
    def read(cls, file: Path) -> "Exposure":
        """Read a file that :meth:`write` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            digests = arrays["images"] if "images" in arrays else arrays["pictures"]  # named "pictures" until 0.1
            return cls(digests, bool(arrays["complete"]))


NOTHING = Exposure(np.empty(0, np.uint64), complete=True)
UNKNOWN = Exposure(np.empty(0, np.uint64), complete=False)


def split_exposure(splits: pd.DataFrame) -> Exposure:
    """Return the exposure of a model trained and selected on these splits: all images outside the test split."""
    return Exposure(np.unique(_digests(splits.loc[splits["split"] != "test", "image_id"])), complete=True)


def too_few_unexposed(labels: "pd.Series[str]", exposed: NDArray[np.bool_]) -> str | None:
    """Return a clause that names a class with too few images not in ``exposed``, or None if all classes have enough."""
    for label, total in labels.value_counts().sort_index().items():
        left = int((~exposed & (labels == label).to_numpy()).sum())
        if left < min(MIN_IMAGES, total):
            needed = min(MIN_IMAGES, total)
            return f"only {left} of {total} images of '{label}' remain for a comparison, which needs {needed}"
    return None


def _digests(image_ids: Iterable[str]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(str(one).encode(), digest_size=8).digest() for one in image_ids)
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)
