"""Decoded images at one resolution, in one array, for training and evaluation.

An image's pixels are a pure function of its bytes and the transform. Random augmentation is applied later.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.decode import decode_image
from goodbad_pipeline.images.formats import Colour
from goodbad_pipeline.images.paths import Root, read_inside
from goodbad_pipeline.images.rejections import Rejection

ResizeMode = Literal["pad", "crop", "stretch"]
BLOCK = 256  # images decoded at a time
MIN_REDUCTION = 2  # each side of a reduced image has at least this many pixels per pixel of the square


@dataclass(frozen=True)
class Transform:
    """Settings that turn a decoded image into a square with ``resolution`` pixels per side.

    ``pad`` keeps the whole image between bars of ``background``. ``crop`` fills the square and cuts the ends of the
    longer side. ``stretch`` changes the aspect ratio. With ``shrink_on_load``, a JPEG that is much larger than the
    square is decoded at a half, a quarter or an eighth of its size.
    """

    resolution: int
    resize: ResizeMode
    background: Colour  # colour of bars, and behind transparent pixels
    max_pixels: int  # images with a larger width × height are rejected
    tiff: bool = False  # True if TIFF is decoded
    shrink_on_load: bool = False  # older registered models lack this field and decode at full size

    def factor(self, width: int, height: int) -> int:
        """Return the factor by which an image's sides may be divided before resizing: 1, 2, 4 or 8.

        Each side keeps at least twice the pixels that the square needs, as with Pillow's ``reducing_gap=2``, so that
        the square hardly changes. The factor divides both sides, because a remainder would shift the image.
        """
        if not self.shrink_on_load:
            return 1
        side = max(width, height) if self.resize == "pad" else min(width, height)
        enough = (factor for factor in (8, 4, 2) if side >= MIN_REDUCTION * factor * self.resolution)
        return next((factor for factor in enough if width % factor == height % factor == 0), 1)


@dataclass(frozen=True)
class Pixels:
    """Transformed images and the SHA-256 of their files.

    ``array`` is either memory-mapped or a :class:`StreamedPixels`, which is indexed like an array.
    """

    image_ids: np.ndarray  # SHA-256 of each image's file, in the order of ``array``; equal files share a row
    array: np.ndarray  # uint8, shape (n, resolution, resolution, 3), RGB 0–255
    transform: Transform

    def rows(self, image_ids: Sequence[str] | pd.Series) -> np.ndarray:
        """Return the index of each image in ``array``: int64, shape (len(image_ids),).

        Raises:
            InputError: An image is not in the cache.
        """
        rows = pd.Index(self.image_ids.astype("S64")).get_indexer(pd.Index(np.asarray(image_ids).astype("S64")))
        if (rows < 0).any():
            missing = list(image_ids)[int(np.argmax(rows < 0))]
            advice = "run --from-nodes=training.cache_pixels"
            raise InputError(f"pixels: image {missing} of the splits is not in the pixel cache; {advice}")
        return rows


@dataclass(frozen=True)
class PixelSource:
    """Images to decode, block by block, so that only one block is in memory.

    Methods that read files raise an InputError if a file was changed or deleted since ingestion.
    """

    root: Root  # resolved
    image_ids: list[str]  # SHA-256 of the files at ingestion
    paths: list[str]  # relative to root
    transform: Transform
    budget: int | None = None  # maximum size of the pixel cache in bytes; None for no limit
    workers: int | None = None  # decoding threads; decoders release the interpreter lock

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array of all images."""
        side = self.transform.resolution
        return (len(self.paths), side, side, 3)

    @property
    def fits(self) -> bool:
        """True if a cache of all images stays within the budget."""
        return self.budget is None or math.prod(self.shape) <= self.budget

    def without(self, image_ids: Collection[bytes]) -> "PixelSource":
        """Return the source without the images in ``image_ids``."""
        left = [index for index, image_id in enumerate(self.image_ids) if image_id.encode() not in image_ids]
        ids, paths = ([values[index] for index in left] for values in (self.image_ids, self.paths))
        return replace(self, image_ids=ids, paths=paths)

    def streamed(self) -> Pixels:
        """Return the images as an array that decodes each image whenever it is read."""
        array = cast(np.ndarray, StreamedPixels(self))  # readers only index it
        return Pixels(np.array(self.image_ids, "S64"), array, self.transform)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield uint8 arrays of shape (≤ 256, resolution, resolution, 3), in order."""
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(self.paths), BLOCK):
                yield self.decode(range(start, min(start + BLOCK, len(self.paths))), pool)

    def decode(self, indices: Iterable[int], pool: ThreadPoolExecutor) -> np.ndarray:
        """Decode the images at ``indices`` in parallel: uint8 of shape (number, resolution, resolution, 3)."""
        images = list(pool.map(lambda index: transform_image(self._content(index), self.transform), indices))
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), np.uint8)

    def check(self, indices: Iterable[int]) -> None:
        """Check that the files at ``indices`` still have the SHA-256 that they had at ingestion."""
        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(lambda index: len(self._content(index)), indices):
                pass

    def _content(self, index: int) -> bytes:
        path = self.paths[index]
        data = read_inside(self.root, path).content
        if isinstance(data, Rejection):
            if data.size is None:  # the file could not be opened
                raise InputError(f"{path}: can no longer be read ({data.detail}); run --pipeline=data again")
            data = b""
        if hashlib.sha256(data).hexdigest() != self.image_ids[index]:
            raise InputError(f"{path}: changed since ingestion (its SHA-256 differs); run --pipeline=data again")
        return data


@dataclass(frozen=True)
class StreamedPixels:
    """A read-only array of images that are decoded when they are indexed."""

    source: PixelSource
    dtype: ClassVar = np.dtype(np.uint8)
    ndim: ClassVar = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array, (n, resolution, resolution, 3)."""
        return self.source.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Decode the images that a row number, a slice or an array of row numbers (of any shape) selects."""
        indices = np.arange(len(self))[rows]
        with ThreadPoolExecutor(self.source.workers) as pool:
            images = self.source.decode(indices.ravel().tolist(), pool)
        return images.reshape(*indices.shape, *self.shape[1:])


PixelCache = Callable[[PixelSource], Pixels]
"""Function that returns the pixels of a source and decodes only images that are not cached."""


def pixel_source(table: pd.DataFrame, root: Root, transform: Transform, cache_gb: float | None = None) -> PixelSource:
    """Return a source of distinct images in ``table`` (columns image_id and path); ``cache_gb`` limits the cache."""
    distinct = table.drop_duplicates("image_id")
    budget = None if cache_gb is None else int(cache_gb * 1e9)
    return PixelSource(root.resolve(), distinct["image_id"].tolist(), distinct["path"].tolist(), transform, budget)


def transform_image(data: bytes, transform: Transform) -> np.ndarray:
    """Decode and resize one file's bytes to uint8 of shape (resolution, resolution, 3).

    Raises:
        InputError: The bytes are not a usable image; the message contains the reason code.
    """
    pixels = load_image(data, transform)
    if isinstance(pixels, Rejection):
        raise InputError(f"image rejected: {pixels.reason} ({pixels.detail})")
    return pixels


def load_image(data: bytes, transform: Transform) -> np.ndarray | Rejection:
    """Decode and resize like :func:`transform_image`, but return a rejection instead of raising an error."""
    decoded = decode_image(
        data,
        max_pixels=transform.max_pixels,
        background=transform.background,
        tiff=transform.tiff,
        shrink=transform.factor,
    )
    return decoded if isinstance(decoded, Rejection) else resize_image(decoded.pixels, transform)


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
