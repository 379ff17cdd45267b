"""The images and the config that a trial depends on, and the type of the cache of results. Imports no Keras."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from goodbad_pipeline.images.labelled_pixels import LabelledPixels, labelled_pixels
from goodbad_pipeline.images.paths import Root
from goodbad_pipeline.images.pixels import PixelCache, Transform, pixel_source
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.training.config_hash import config_hash, splits_digest
from goodbad_pipeline.training.progress import EpochCallback

COMPLETE = "complete"  # item of a result: 1 if the training was complete, 0 if it was pruned, diverged or out of memory
TrialResult = dict[str, float]  # metrics of a trial


@dataclass(frozen=True)
class DevelopmentData:
    """The train and validation images at any resolution; test images are never decoded.

    The paths in `splits` are relative to `root`. `transform` maps a resolution to a transform of the images. If all
    decoded images would take more than `cache_gb` GB, no image is stored, and every read decodes images again.
    """

    splits: pd.DataFrame
    root: Root
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
        """Return what determines the images at a resolution: contents, labels, splits, order and transform."""
        return {"splits": splits_digest(self.table), "transform": asdict(self.transform(resolution))}


@dataclass(frozen=True)
class TrialSpec:
    """One training of one network from one seed.

    The name of the network and the parameters in `shown` are only logged. The result depends only on `config`: plain
    JSON values, with the seed.
    """

    name: str
    seed: int
    shown: Mapping[str, Any]
    config: Mapping[str, Any]

    @cached_property
    def cache_key(self) -> str:
        """SHA-256 of the config as 64 hex digits. Trials with equal keys have equal results."""
        return config_hash(dict(self.config))


TrialCache = Callable[[TrialSpec, Callable[[EpochCallback], TrialResult]], TrialResult]
"""Function that returns the stored result of a trial, or runs the trial and stores the result if none is stored."""
