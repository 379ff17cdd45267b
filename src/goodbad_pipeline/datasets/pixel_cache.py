"""Pixel caches at several resolutions: each is decoded when it is first asked for, and kept."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline.images.pixel_store import open_pixels
from goodbad_pipeline.images.pixels import PixelCache, Pixels, PixelSource


class PixelCacheDataset(AbstractDataset[None, PixelCache]):
    """Loads a function that gives pixels for a :class:`PixelSource`, decoded no more than once.

    Args:
        filepath: Folder of the stores, one a transform; it may be removed at any time.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> PixelCache:
        """Return the function."""
        return self._pixels

    def save(self, data: None) -> None:
        """Refuse: pixels come when they are asked for."""
        raise DatasetError("A pixel cache fills when the function that it loads is called, not by saving")

    def _pixels(self, source: PixelSource) -> Pixels:
        return open_pixels(self._folder, source)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
