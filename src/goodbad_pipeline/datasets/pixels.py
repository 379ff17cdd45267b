"""The pixel cache on disk: one array and the identities of its rows."""

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset
from tqdm import tqdm

from goodbad_pipeline.datasets.atomic import replacing
from goodbad_pipeline.images.pixels import Pixels, PixelSource


class PixelsDataset(AbstractDataset[PixelSource, Pixels]):
    """Decodes a :class:`PixelSource` to disk block by block and gives it back memory-mapped.

    The folder holds ``pixels.npy`` (uint8, shape (n, side, side, 3)) and ``image_ids.npy``. Neither more than a block
    nor, on reading, more than the pages in use are in memory.

    Args:
        filepath: The folder.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> Pixels:
        """Return the cache, its array memory-mapped read-only."""
        image_ids = np.load(self._folder / "image_ids.npy", allow_pickle=False)
        return Pixels(image_ids, np.load(self._folder / "pixels.npy", mmap_mode="r", allow_pickle=False))

    def save(self, data: PixelSource) -> None:
        """Decode every picture of ``data`` and write the cache."""
        with replacing(self._folder) as draft:
            draft.mkdir()
            array = np.lib.format.open_memmap(draft / "pixels.npy", mode="w+", dtype=np.uint8, shape=data.shape)
            start = 0
            with tqdm(total=len(array), desc="Decoding", unit="image", mininterval=0.5, disable=None) as progress:
                for block in data.blocks():
                    array[start : start + len(block)] = block
                    start += len(block)
                    progress.update(len(block))
            array.flush()
            np.save(draft / "image_ids.npy", np.array(data.image_ids), allow_pickle=False)

    def _exists(self) -> bool:
        return (self._folder / "pixels.npy").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
