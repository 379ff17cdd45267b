"""Read and measure one file, in a worker process.

This module does not import pandas, so that worker processes start quickly.
"""

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from blake3 import blake3
from PIL import Image

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.formats import SIGNATURES, Colour
from goodbad_pipeline.images.paths import FileContent, FileState, Root, Store, locate, read_inside
from goodbad_pipeline.images.rejections import Reason, Rejection

HASH_SIDE = 8
THUMBNAIL_SIDE = 8
THUMBNAIL_BYTES = THUMBNAIL_SIDE * THUMBNAIL_SIDE * 3
_MINIATURE_SIDE = 64


@dataclass(frozen=True)
class Limits:
    """The time and memory that a worker process may use for one file."""

    seconds: float = 20.0  # wall-clock time to read, decode and measure it
    memory: int = 1 << 30  # bytes in addition to those that the worker uses before its first file


@dataclass(frozen=True)
class ReadSettings:
    """Settings for reading the files of a scan."""

    root: Root  # resolved
    max_pixels: int
    background: Colour
    tiff: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True)
class Task:
    """A file to read."""

    path: str  # relative to the root, as in the tables
    image_id: str | None = None  # SHA-256 at the last scan; a file with an equal hash is not decoded
    rejection: Rejection | None = None  # why a worker process ended while reading the file, which is then only hashed
    content: FileContent | None = None  # given if the root is a store, which worker processes do not know


@dataclass(frozen=True)
class Measured:
    """An accepted image, as a row of the table of images."""

    image_id: str
    width: int
    height: int
    format: str
    animated: bool
    size: int
    pixel_id: str
    fingerprint: int
    thumbnail: bytes


MEASURED_COLUMNS = tuple(field.name for field in fields(Measured))


@dataclass(frozen=True)
class Outcome:
    """The result of a task, and the state of the file when it was read."""

    result: Measured | Rejection | None  # None if the file still has the SHA-256 of its task
    state: FileState | None = None  # None if the file was not read, or its timestamps are too recent


def read_image(task: Task, settings: ReadSettings) -> Outcome:
    """Read, hash, decode and measure one file. Raise a MemoryError if decoding exceeds the memory limit."""
    limits = settings.limits
    file = task.content or read_inside(settings.root, task.path, max_bytes=limits.memory, seconds=limits.seconds / 2)
    state = file.state if file.state and file.state.is_settled else None
    if isinstance(file.content, Rejection):
        unchanged = task.image_id is not None and file.content.image_id == task.image_id
        return Outcome(None if unchanged else file.content, state)
    data = file.content
    image_id = hashlib.sha256(data).hexdigest()
    if image_id == task.image_id:
        return Outcome(None, state)
    if task.rejection is not None:
        return Outcome(replace(task.rejection, size=len(data), image_id=image_id))
    decoded = decode_image(data, max_pixels=settings.max_pixels, background=settings.background, tiff=settings.tiff)
    if isinstance(decoded, Rejection):
        if decoded.reason is Reason.OUT_OF_MEMORY:
            raise MemoryError(decoded.detail)
        return Outcome(replace(decoded, size=len(data), image_id=image_id), state)
    return Outcome(_measure(decoded, image_id, len(data)), state)


def _measure(decoded: Decoded, image_id: str, size: int) -> Measured:
    height, width, _ = decoded.pixels.shape
    miniature = shrink(decoded.pixels)
    return Measured(
        image_id=image_id,
        width=width,
        height=height,
        format=decoded.format,
        animated=decoded.animated,
        size=size,
        pixel_id=pixel_hash(decoded.pixels),
        fingerprint=difference_hash(miniature),
        thumbnail=thumbnail(miniature),
    )


def pixel_hash(pixels: np.ndarray) -> str:
    """Return the BLAKE3 digest of the size and the pixels, uint8 (h, w, 3): 64 hexadecimal digits."""
    height, width, _ = pixels.shape
    return blake3(f"{width}x{height}".encode()).update(pixels.data.cast("B")).hexdigest()


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Reduce a large image to a shorter side of roughly 64 pixels, by averaging blocks, so that fingerprints cost less.

    To save time, at most three rows of each block are averaged, and the other rows of the block are ignored.
    """
    height, width, _ = pixels.shape
    factor = min(height, width) // _MINIATURE_SIDE
    if factor < 2:
        return pixels
    step = factor // 2
    rows, stride = -(-height // step), step * width * 3
    sampled = Image.frombuffer("RGB", (width, rows), np.ascontiguousarray(pixels), "raw", "RGB", stride, 1)
    return np.asarray(sampled.reduce((factor, factor // step)))


def difference_hash(pixels: np.ndarray) -> int:
    """Return the 64-bit difference hash of an image, uint8 (h, w, 3).

    Each bit is 1 if a pixel of an 8 × 9 grey miniature is brighter than its left neighbour. The bits are returned as a
    signed integer, which Parquet and pandas can store.
    """
    grey = Image.fromarray(pixels).convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    levels = np.asarray(grey).astype(np.int16)
    bits = np.packbits(levels[:, 1:] > levels[:, :-1])
    return int(bits.view(">i8")[0])


def thumbnail(pixels: np.ndarray) -> bytes:
    """Return an 8 × 8 RGB miniature of an image, uint8 (h, w, 3), as 192 bytes."""
    return Image.fromarray(pixels).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes()


def find_exif(root: Root, paths: Sequence[str]) -> np.ndarray:
    """Return which files below ``root`` have EXIF metadata in their header: bool of shape (len(paths),).

    No pixels are decoded. A file with an unreadable header gives False.
    """
    return np.array([_has_exif(root, path) for path in paths], dtype=np.bool_)


def _has_exif(root: Root, path: str) -> bool:
    try:
        file = io.BytesIO(root.read(path).content) if isinstance(root, Store) else locate(root, path)  # type: ignore[arg-type] # a rejection raises an error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=tuple(SIGNATURES.keys() & Image.OPEN.keys())) as image:
                return "exif" in image.info or len(image.getexif()) > 0
    except Exception:  # Pillow raises a dozen exception types; EXIF is only a feature of a baseline
        return False
