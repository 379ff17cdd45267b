"""Parameters that state where images are stored and how they are read and split."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from goodbad_pipeline.images.pixels import ResizeMode, Transform
from goodbad_pipeline.images.reading import Limits
from goodbad_pipeline.images.sources import Layout
from goodbad_pipeline.images.splits import SplitMethod, SplitSettings
from goodbad_pipeline.params.base import Byte, Count, Group, Positive, Seed

MAX_PIXELS = 178_956_970
"""Limit of Pillow, which opens no larger image."""


class SampleParams(Group):
    """Folder and seed of the sample images."""

    root: str
    seed: Seed


class ColumnParams(Group):
    """Column names of the manifest; see :class:`goodbad_pipeline.images.manifests.Columns`."""

    path: str
    label: str | Annotated[list[str], Field(min_length=2)]
    group: str | None
    split: str | None


class ScanParams(Group):
    """Settings of the processes that read images, with time and memory limits for each file."""

    engine: Annotated[str, Field(min_length=1)]
    engine_options: dict[str, Any]
    workers: Count | None
    timeout: Positive
    memory: Annotated[int, Field(ge=16)]
    trust_timestamps: bool

    @property
    def limits(self) -> Limits:
        """Time and memory limits for one file."""
        return Limits(self.timeout, self.memory << 20)


class ImageParams(Group):
    """Place, layout and decoding of the images."""

    root: str
    layout: Layout
    manifest: str | None
    columns: ColumnParams
    credentials: str | None = None  # runs recorded without this parameter read local folders
    corrections: str | None
    background: tuple[Byte, Byte, Byte]
    max_pixels: Annotated[Count, Field(le=MAX_PIXELS)]
    tiff: bool
    max_quarantined_fraction: Annotated[float, Field(ge=0, le=1)]
    resize: ResizeMode
    shrink_on_load: bool = False  # runs recorded without this parameter decoded at full size
    near_duplicate_bits: Annotated[int, Field(ge=-1, le=16)]
    cache_gb: Annotated[float, Field(ge=0)]
    scan: ScanParams

    def transform(self, resolution: int) -> Transform:
        """Return the preprocessing for a network with this resolution."""
        return Transform(resolution, self.resize, self.background, self.max_pixels, self.tiff, self.shrink_on_load)


class FractionParams(Group):
    """The fraction of images in each split. The fractions sum to 1."""

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
    """How the images are split."""

    method: SplitMethod
    seed: Seed
    fractions: FractionParams
    folds: Annotated[int, Field(ge=3)] | None
    fold: Annotated[int, Field(ge=0)]
    tolerance: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold counts from 0 and must be less than folds ({self.folds}), got {self.fold}")
        return self

    @property
    def settings(self) -> SplitSettings:
        """The arguments of :func:`goodbad_pipeline.images.splits.split_labels`."""
        return SplitSettings(self.fractions.model_dump(), self.seed, self.method, self.folds, self.fold)
