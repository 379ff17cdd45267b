"""Train and validation images at any resolution; test images are neither decoded nor counted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.images.pixels import PixelCache, Transform, pixel_source
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.training.config_hash import splits_digest
from goodbad_pipeline.training.train import LabelledPixels


@dataclass(frozen=True)
class DevelopmentData:
    """Train and validation images; made by :func:`development_data`.

    Attributes:
        table: One row per image: image_id, path, label and split, which is train or validation.
        root: Folder that paths are relative to.
        transform: Returns the transform of the images for a resolution.
        cache: Decodes images once for each resolution.
        cache_gb: Size limit of the decoded images, above which they are streamed; None for no limit.
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
        """Return the train and validation images at a resolution."""
        pixels = self.cache(pixel_source(self.table, self.root, self.transform(resolution), self.cache_gb))
        names = class_names(self.table)

        def part(split: str) -> LabelledPixels:
            rows = self.table[self.table["split"] == split]
            y_true = rows["label"].map(names.index).to_numpy("int64")
            return LabelledPixels(pixels.array, pixels.rows(rows["image_id"]), y_true, len(names))

        return part("train"), part("validation")

    def config(self, resolution: int) -> dict[str, Any]:
        """Return what the images at a resolution depend on: contents, labels, splits, order and transform."""
        return {"splits": splits_digest(self.table), "transform": asdict(self.transform(resolution))}


def development_data(
    splits: pd.DataFrame,
    root: Path,
    transform: Callable[[int], Transform],
    cache: PixelCache,
    cache_gb: float | None = None,
) -> DevelopmentData:
    """Return the images of `splits` without those of the test split."""
    return DevelopmentData(development_part(splits), root, transform, cache, cache_gb)
