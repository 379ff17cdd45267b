"""Train and validation images at any resolution; test images are neither decoded nor counted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.images.pixels import LabelledPixels, PixelCache, Transform, labelled_pixels, pixel_source
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.training.config_hash import splits_digest


@dataclass(frozen=True)
class DevelopmentData:
    """Train and validation images.

    Attributes:
        splits: One row per image: image_id, path, label and split; rows of the test split are ignored.
        root: Folder that paths are relative to.
        transform: Returns the transform of the images for a resolution.
        cache: Decodes images once for each resolution.
        cache_gb: Size limit of the decoded images, above which they are streamed; None for no limit.
    """

    splits: pd.DataFrame
    root: Path
    transform: Callable[[int], Transform]
    cache: PixelCache
    cache_gb: float | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """The splits without the test split."""
        return development_part(self.splits)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(class_names(self.table))

    def at(self, resolution: int) -> tuple[LabelledPixels, LabelledPixels]:
        """Return the train and validation images at a resolution."""
        pixels = self.cache(pixel_source(self.table, self.root, self.transform(resolution), self.cache_gb))
        return labelled_pixels("train", self.table, pixels), labelled_pixels("validation", self.table, pixels)

    def config(self, resolution: int) -> dict[str, Any]:
        """Return what the images at a resolution depend on: contents, labels, splits, order and transform."""
        return {"splits": splits_digest(self.table), "transform": asdict(self.transform(resolution))}
