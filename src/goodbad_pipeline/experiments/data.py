"""The images that networks are compared on: train and validation, never test, at any resolution."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from goodbad_pipeline.images.pixels import PixelCache, Transform, pixel_source
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.training.train import LabelledPixels


@dataclass(frozen=True)
class DevelopmentData:
    """Train and validation images; made by :func:`development_data`, which leaves the test split out.

    Attributes:
        table: One row an image: image_id, path, label and split, which is train or validation.
        root: Folder that paths are relative to.
        transform: From a resolution to what an image goes through.
        cache: Decodes images once for each resolution.
        cache_gb: Most that stored images may take, beyond which they are streamed; None for as much as they need.
    """

    table: pd.DataFrame
    root: Path
    transform: Callable[[int], Transform]
    cache: PixelCache
    cache_gb: float | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(class_names(self.table))

    def at(self, resolution: int) -> tuple[LabelledPixels, LabelledPixels]:
        """Return train and validation at a resolution."""
        pixels = self.cache(pixel_source(self.table, self.root, self.transform(resolution), self.cache_gb))
        names = class_names(self.table)

        def part(split: str) -> LabelledPixels:
            rows = self.table[self.table["split"] == split]
            y_true = rows["label"].map(names.index).to_numpy("int64")
            return LabelledPixels(pixels.array, pixels.rows(rows["image_id"]), y_true, len(names))

        return part("train"), part("validation")

    def digest(self, resolution: int) -> str:
        """SHA-256 over every image's content, label, side and order, and over the transform: 64 hex digits."""
        rows = self.table[["image_id", "label", "split"]].astype(str).agg("\t".join, axis=1)
        transform = json.dumps(asdict(self.transform(resolution)), sort_keys=True)
        return hashlib.sha256("\n".join([transform, *rows]).encode()).hexdigest()


def development_data(
    splits: pd.DataFrame,
    root: Path,
    transform: Callable[[int], Transform],
    cache: PixelCache,
    cache_gb: float | None = None,
) -> DevelopmentData:
    """Take train and validation of `splits`; what belongs to test is neither decoded nor counted."""
    return DevelopmentData(development_part(splits), root, transform, cache, cache_gb)
