"""Parameters of the images: where they are, how they are read and divided."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from goodbad_pipeline.images.pixels import ResizeMode, Transform
from goodbad_pipeline.images.reading import Limits
from goodbad_pipeline.images.sources import Layout
from goodbad_pipeline.images.splits import Division, SplitMethod
from goodbad_pipeline.params.base import Byte, Count, Group, Positive, Seed

MAX_PIXELS = 178_956_970
"""Pillow opens no larger image, whatever one wants."""


class SampleParams(Group):
    """Where the sample images are drawn, and from which seed."""

    root: str
    seed: Seed


class ColumnParams(Group):
    """The manifest's column names; see :class:`goodbad_pipeline.images.sources.Columns`."""

    path: str
    label: str
    group: str | None
    split: str | None


class ScanParams(Group):
    """Who reads the images, and what one of them may cost."""

    engine: Annotated[str, Field(min_length=1)]
    engine_options: dict[str, Any]
    workers: Count | None
    timeout: Positive
    memory: Annotated[int, Field(ge=16)]
    trust_timestamps: bool

    @property
    def limits(self) -> Limits:
        """What one file may cost."""
        return Limits(self.timeout, self.memory << 20)


class ImageParams(Group):
    """Where the images are, how they are laid out, and how one is decoded."""

    root: str
    layout: Layout
    manifest: str | None
    columns: ColumnParams
    corrections: str | None
    background: tuple[Byte, Byte, Byte]
    max_pixels: Annotated[Count, Field(le=MAX_PIXELS)]
    tiff: bool
    max_quarantined_fraction: Annotated[float, Field(ge=0, le=1)]
    resize: ResizeMode
    shrink_on_load: bool = False  # what was recorded before there was a choice was decoded whole
    near_duplicate_bits: Annotated[int, Field(ge=-1, le=16)]
    cache_gb: Annotated[float, Field(ge=0)]
    scan: ScanParams

    def transform(self, resolution: int) -> Transform:
        """What an image goes through before a network of this resolution."""
        return Transform(resolution, self.resize, self.background, self.max_pixels, self.tiff, self.shrink_on_load)


class FractionParams(Group):
    """Share of the images in each split; they sum to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    validation: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, got {total:g}")
        return self


class SplitParams(Group):
    """How the images are divided."""

    method: SplitMethod
    seed: Seed
    fractions: FractionParams
    folds: Annotated[int, Field(ge=3)] | None
    fold: Annotated[int, Field(ge=0)]
    tolerance: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> Self:
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold counts from 0 and must be less than folds ({self.folds}), got {self.fold}")
        return self

    @property
    def division(self) -> Division:
        """The same for :func:`goodbad_pipeline.images.splits.split_labels`."""
        return Division(self.fractions.model_dump(), self.seed, self.method, self.folds, self.fold)
