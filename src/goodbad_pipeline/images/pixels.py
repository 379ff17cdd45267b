"""Decoded images at one resolution, in one array: what training and evaluation read.

Everything random happens after this point; an image's pixels are a pure function of its bytes and the transform.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.decode import Colour, Rejected, decode_image
from goodbad_pipeline.images.paths import read_inside
from goodbad_pipeline.images.reasons import Rejection

ResizeMode = Literal["pad", "crop", "stretch"]
BLOCK = 256
SPARE = 2  # pixels that a decoder leaves, at least, for one of the square


@dataclass(frozen=True)
class Transform:
    """How a decoded image becomes a square of ``resolution`` pixels a side.

    Attributes:
        resolution: Side of the square in pixels.
        resize: ``pad`` keeps all of the image inside bars of ``background``, ``crop`` fills the square and loses
            the ends of the longer side, ``stretch`` changes the aspect ratio.
        background: RGB, 0–255, for bars and under transparent pixels.
        max_pixels: Largest image that is decoded, width × height.
        tiff: Whether TIFF is decoded.
        shrink_on_load: Whether a JPEG that is much larger than the square is decoded at a half, a quarter or an eighth
            of its size. Models that were registered before there was a choice say nothing: theirs were decoded whole.
    """

    resolution: int
    resize: ResizeMode
    background: Colour
    max_pixels: int
    tiff: bool = False
    shrink_on_load: bool = False

    def factor(self, width: int, height: int) -> int:
        """By how much an image's sides may be divided before it is resized: 1, 2, 4 or 8, without remainder.

        At least twice the pixels that the square needs are left along each side, so that what the eye or a network
        sees hardly differs (Pillow's ``reducing_gap`` of 2). With a remainder the image would be moved a little.
        """
        if not self.shrink_on_load:
            return 1
        side = max(width, height) if self.resize == "pad" else min(width, height)
        enough = (factor for factor in (8, 4, 2) if side >= SPARE * factor * self.resolution)
        return next((factor for factor in enough if width % factor == height % factor == 0), 1)


@dataclass(frozen=True)
class Pixels:
    """Images by content.

    Attributes:
        image_ids: SHA-256 of each image's file, in the order of ``array``; a copy of a file shares its row.
        array: uint8, shape (n, resolution, resolution, 3), RGB 0–255; memory-mapped, or a :class:`StreamedPixels`,
            which is indexed like an array.
        transform: What each went through.
    """

    image_ids: np.ndarray
    array: np.ndarray
    transform: Transform

    def rows(self, image_ids: Sequence[str] | pd.Series) -> np.ndarray:
        """Return the row of each of ``image_ids``, int64 of shape (len(image_ids),).

        Raises:
            InputError: One of them is not in the cache.
        """
        rows = pd.Index(self.image_ids.astype("S64")).get_indexer(pd.Index(np.asarray(image_ids).astype("S64")))
        if (rows < 0).any():
            missing = list(image_ids)[int(np.argmax(rows < 0))]
            raise InputError(f"pixels: image {missing} of the splits is not in the pixel cache; run the node again")
        return rows


@dataclass(frozen=True)
class PixelSource:
    """Images still to be decoded, block by block, so that no more than one block is in memory.

    Attributes:
        root: Folder that ``paths`` are relative to, resolved.
        image_ids: SHA-256 of each file as it was at ingestion.
        paths: Relative path of each file.
        transform: What is done to each.
        budget: Bytes that a cache of them may take; None for as many as they need.
        workers: Threads that decode; Pillow's decoders release the interpreter lock. None for a few more than cores.
    """

    root: Path
    image_ids: list[str]
    paths: list[str]
    transform: Transform
    budget: int | None = None
    workers: int | None = field(default=None)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all images together: (n, resolution, resolution, 3)."""
        side = self.transform.resolution
        return (len(self.paths), side, side, 3)

    @property
    def fits(self) -> bool:
        """Whether a cache of all images stays within the budget."""
        return self.budget is None or math.prod(self.shape) <= self.budget

    def without(self, image_ids: Collection[bytes]) -> "PixelSource":
        """What is left when some are known already."""
        left = [place for place, image_id in enumerate(self.image_ids) if image_id.encode() not in image_ids]
        ids, paths = ([values[place] for place in left] for values in (self.image_ids, self.paths))
        return replace(self, image_ids=ids, paths=paths)

    def streamed(self) -> Pixels:
        """The images, each decoded whenever it is asked for."""
        array = cast(np.ndarray, StreamedPixels(self))  # it is indexed like one, which is all that readers do
        return Pixels(np.array(self.image_ids, "S64"), array, self.transform)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield uint8 arrays of shape (≤ 256, resolution, resolution, 3), in order.

        Raises:
            InputError: A file changed or went away since ingestion.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(self.paths), BLOCK):
                yield self.decode(range(start, min(start + BLOCK, len(self.paths))), pool)

    def decode(self, places: Iterable[int], pool: ThreadPoolExecutor) -> np.ndarray:
        """Decode some images at once: uint8 of shape (number, resolution, resolution, 3).

        Raises:
            InputError: A file changed or went away since ingestion.
        """
        wanted = [(self.paths[place], self.image_ids[place]) for place in places]
        found = list(pool.map(lambda one: self._read(*one), wanted))
        return np.stack(found) if found else np.empty((0, *self.shape[1:]), np.uint8)

    def check(self, places: Iterable[int]) -> None:
        """Hash some files again.

        Raises:
            InputError: The first of them that changed or went away since ingestion.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(lambda place: len(self._content(self.paths[place], self.image_ids[place])), places):
                pass

    def _read(self, path: str, image_id: str) -> np.ndarray:
        return transform_image(self._content(path, image_id), self.transform)

    def _content(self, path: str, image_id: str) -> bytes:
        data = read_inside(self.root, path).content
        if isinstance(data, Rejection):
            if data.size is None:  # not even opened
                raise InputError(f"{path}: cannot be read any more ({data.detail}); run --pipeline=data again")
            data = b""
        if hashlib.sha256(data).hexdigest() != image_id:
            raise InputError(f"{path}: changed since ingestion (its SHA-256 differs); run --pipeline=data again")
        return data


@dataclass(frozen=True)
class StreamedPixels:
    """Images that are decoded when they are indexed; read-only, and read like the array that a cache would be.

    A file that has changed since ingestion ends the run with its name, as it does when a cache is made.
    """

    source: PixelSource
    dtype: ClassVar = np.dtype(np.uint8)
    ndim: ClassVar = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all images together: (n, resolution, resolution, 3)."""
        return self.source.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Decode the images of a row number, a slice, or an array of row numbers of any shape."""
        places = np.arange(len(self))[rows]
        with ThreadPoolExecutor(self.source.workers) as pool:
            found = self.source.decode(places.ravel().tolist(), pool)
        return found.reshape(*places.shape, *self.shape[1:])


PixelCache = Callable[[PixelSource], Pixels]
"""Gives the pixels of a source, decoding what it has not decoded before."""


def pixel_source(table: pd.DataFrame, root: Path, transform: Transform, cache_gb: float | None = None) -> PixelSource:
    """Plan the decoding of every distinct image of ``table`` (columns image_id and path), by default to be kept."""
    distinct = table.drop_duplicates("image_id")
    budget = None if cache_gb is None else int(cache_gb * 1e9)
    return PixelSource(root.resolve(), distinct["image_id"].tolist(), distinct["path"].tolist(), transform, budget)


def transform_image(data: bytes, transform: Transform) -> np.ndarray:
    """Decode and resize one file's bytes to uint8 of shape (resolution, resolution, 3).

    Raises:
        InputError: The bytes are no usable image; the message holds the reason code.
    """
    pixels = load_image(data, transform)
    if isinstance(pixels, Rejected):
        raise InputError(f"image rejected: {pixels.reason} ({pixels.detail})")
    return pixels


def load_image(data: bytes, transform: Transform) -> np.ndarray | Rejected:
    """As :func:`transform_image`, but for what is no usable image it returns why."""
    decoded = decode_image(
        data,
        max_pixels=transform.max_pixels,
        background=transform.background,
        tiff=transform.tiff,
        shrink=transform.factor,
    )
    return decoded if isinstance(decoded, Rejected) else resize_image(decoded.pixels, transform)


def resize_image(pixels: np.ndarray, transform: Transform) -> np.ndarray:
    """Resize uint8 (height, width, 3) to (resolution, resolution, 3), bicubic with antialiasing."""
    size = (transform.resolution, transform.resolution)
    image = Image.fromarray(pixels)
    if transform.resize == "stretch":
        square = image.resize(size, Image.Resampling.BICUBIC)
    elif transform.resize == "crop":
        square = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    else:
        square = ImageOps.pad(image, size, Image.Resampling.BICUBIC, color=transform.background)
    return np.asarray(square)
