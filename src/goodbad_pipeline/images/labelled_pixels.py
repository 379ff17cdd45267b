"""Pixels, class indices and groups of one split, as arrays.

This module is separate from `pixels`, because only `pixels` is bundled with a registered model.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names


@dataclass(frozen=True)
class LabelledPixels:
    """The images of one split, their classes and groups."""

    pixels: np.ndarray  # uint8, shape (N, side, side, 3), RGB; may be memory-mapped and contain other splits
    rows: np.ndarray  # positions of the split's images in ``pixels``, int64 of shape (n,)
    y_true: np.ndarray  # their class indices, int64 of shape (n,)
    classes: int
    groups: np.ndarray  # number of each image's group, int64 of shape (n,)

    @property
    def targets(self) -> np.ndarray:
        """One-hot classes: float32, shape (n, classes)."""
        return np.eye(self.classes, dtype=np.float32)[self.y_true]

    def shard(self, index: int, count: int) -> "LabelledPixels":
        """Return every ``count``-th image, starting at position ``index``."""
        part = slice(index, None, count)
        return replace(self, rows=self.rows[part], y_true=self.y_true[part], groups=self.groups[part])


def labelled_pixels(split: str, splits: pd.DataFrame, pixels: Pixels) -> LabelledPixels:
    """Return the images of one split. Classes are all labels of ``splits``, even labels that this split lacks."""
    names, table = class_names(splits), splits[splits["split"] == split]
    y_true = table["label"].map(names.index).to_numpy("int64")
    groups = pd.factorize(table["group"])[0].astype("int64")
    return LabelledPixels(pixels.array, pixels.rows(table["image_id"]), y_true, len(names), groups)
