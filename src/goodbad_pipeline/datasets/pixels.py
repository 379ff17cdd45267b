"""Datasets of decoded images, memory-mapped from disk: those of a run, and a cache with a store per resolution."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.atomic_files import atomic_write, recover
from goodbad_pipeline.datasets.load_only import LoadOnlyDataset, PathDataset
from goodbad_pipeline.images.pixel_store import open_pixels
from goodbad_pipeline.images.pixels import PixelCache, Pixels, PixelSource, Transform
from goodbad_pipeline.images.stores import open_root

_SETTINGS, _IMAGES = "source.json", "images.parquet"


class PixelsDataset(PathDataset[PixelSource, Pixels]):
    """The pixels of images. A node saves the list of images (:class:`PixelSource`); later nodes load the pixels.

    Saving decodes new images into a store that outlives the run (:mod:`goodbad_pipeline.images.pixel_store`). If the
    store would be larger than the ``budget`` of the :class:`PixelSource`, images are decoded at each read instead. If
    the folder ``filepath`` is removed, the next save decodes all images again.
    """

    @property
    def _source(self) -> Path:
        return self._filepath / "source"

    def load(self) -> Pixels:
        """Return the pixels."""
        settings = json.loads((recover(self._source) / _SETTINGS).read_text(encoding="utf-8"))
        images = pd.read_parquet(self._source / _IMAGES)
        transform = Transform(**{**settings["transform"], "background": tuple(settings["transform"]["background"])})
        root, ids, paths = open_root(settings["root"]), images["image_id"].tolist(), images["path"].tolist()
        source = PixelSource(root, ids, paths, transform, settings["budget"])
        return open_pixels(self._filepath, source)

    def save(self, data: PixelSource) -> None:
        """Decode the images that are not stored yet, and write the list of images."""
        open_pixels(self._filepath, data)
        settings = {"root": str(data.root), "transform": asdict(data.transform), "budget": data.budget}
        with atomic_write(self._source) as draft:
            draft.mkdir()
            (draft / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
            pd.DataFrame({"image_id": data.image_ids, "path": data.paths}).to_parquet(draft / _IMAGES)

    def _exists(self) -> bool:
        return recover(self._source).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._source)}  # the pixel stores next to it are shared with other datasets


class PixelCacheDataset(LoadOnlyDataset[PixelCache]):
    """Loads a function that returns the pixels of a :class:`PixelSource` and caches decoded images."""

    def load(self) -> PixelCache:
        """Return a function that opens the pixels of a :class:`PixelSource`."""
        return partial(open_pixels, self._filepath)
