"""The images of a run at one resolution."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from goodbad_pipeline.atomic_files import replacing, restored
from goodbad_pipeline.images.pixel_store import open_pixels
from goodbad_pipeline.images.pixels import Pixels, PixelSource, Transform

PLAN, TABLE = "source.json", "images.parquet"


class PixelsDataset(AbstractDataset[PixelSource, Pixels]):
    """Keeps a :class:`PixelSource`, decodes what of it is new, and gives its images to read.

    They are memory-mapped from a store that outlives the run (:mod:`goodbad_pipeline.images.pixel_store`), or decoded
    whenever they are read, where a store would be larger than the source allows. Readers see no difference.

    Args:
        filepath: The folder; it may be removed at any time.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self._plan = self._folder / "source"
        self.metadata = metadata

    def load(self) -> Pixels:
        """Return the images."""
        facts = json.loads((restored(self._plan) / PLAN).read_text(encoding="utf-8"))
        table = pd.read_parquet(self._plan / TABLE)
        transform = Transform(**{**facts["transform"], "background": tuple(facts["transform"]["background"])})
        source = PixelSource(
            Path(facts["root"]), table["image_id"].tolist(), table["path"].tolist(), transform, facts["budget"]
        )
        return open_pixels(self._folder, source)

    def save(self, data: PixelSource) -> None:
        """Decode what of ``data`` is not stored yet, and note what belongs to it."""
        open_pixels(self._folder, data)
        facts = {"root": str(data.root), "transform": asdict(data.transform), "budget": data.budget}
        with replacing(self._plan) as draft:
            draft.mkdir()
            (draft / PLAN).write_text(json.dumps(facts), encoding="utf-8")
            pd.DataFrame({"image_id": data.image_ids, "path": data.paths}).to_parquet(draft / TABLE)

    def _exists(self) -> bool:
        return restored(self._plan).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._plan)}  # what this dataset alone writes; the stores beside it are everybody's
