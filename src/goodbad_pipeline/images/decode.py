"""Decode the bytes of an image file to upright 8-bit RGB, or reject them.

Ingestion, training, evaluation and prediction all use :func:`decode_image`, so an image is the same array everywhere.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from goodbad_pipeline.images.formats import (
    HEAD_BYTES,
    Colour,
    CutOffError,
    EncodedImage,
    OtherImage,
    UnsupportedError,
    describe_unread,
    find_container,
)
from goodbad_pipeline.images.jpeg import JpegImage
from goodbad_pipeline.images.png import PngImage
from goodbad_pipeline.images.rejections import Reason, Rejection

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by EXIF orientation
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}

Image.init()
warnings.filterwarnings("ignore", module=r"PIL\.")  # about odd metadata; this package checks pixel data


@dataclass(frozen=True)
class Decoded:
    """A decoded image, turned upright."""

    pixels: np.ndarray  # uint8, shape (height, width, 3), RGB 0–255
    format: str  # Pillow's name for the format, for example ``JPEG`` or ``MPO``
    animated: bool = False  # True if the file has several frames or pages; ``pixels`` is the first


Shrink = Callable[[int, int], int]
"""Function from an image's width and height to the factor by which decoding may reduce both: 1, 2, 4 or 8."""


def decode_image(
    data: bytes, *, max_pixels: int, background: Colour, tiff: bool = False, shrink: Shrink | None = None
) -> Decoded | Rejection:
    """Decode the bytes of a file, or return why the file is rejected. Never raises an error.

    The format is detected from the content, not from the file name. The number of pixels is checked before decoding.
    EXIF orientation is applied, and 16-bit levels are scaled, not clipped. Of an animation, only the first frame is
    decoded. Transparent pixels are composited over ``background`` (RGB, 0–255). Files with damage that decoders usually
    ignore are rejected (see :mod:`~goodbad_pipeline.images.jpeg` and :mod:`~goodbad_pipeline.images.png`). ``shrink``
    lets JPEGs be decoded at a reduced size to save time, but does not affect which files are accepted.
    """
    if not data:
        return Rejection(Reason.EMPTY, "zero bytes")
    container = find_container(data)
    if container is None:
        return Rejection(Reason.NOT_AN_IMAGE, describe_unread(data[:HEAD_BYTES]))
    if container == "TIFF" and not tiff:
        return Rejection(Reason.UNSUPPORTED, "TIFF, which needs images.tiff=true")
    try:
        return _decode(_open(data, container), max_pixels, background, shrink)
    except Exception as error:  # Pillow's decoders raise a dozen exception types on hostile bytes
        return Rejection(_reason(error, data, container), _one_line(error))


def _open(data: bytes, container: str) -> EncodedImage:
    if container == "PNG":
        return PngImage(data)
    return JpegImage(data) if container == "JPEG" else OtherImage(data, container)


def _decode(encoded: EncodedImage, max_pixels: int, background: Colour, shrink: Shrink | None) -> Decoded | Rejection:
    size = f"{encoded.width} × {encoded.height} pixels"
    if encoded.width * encoded.height > max_pixels:
        return Rejection(Reason.TOO_MANY_PIXELS, f"{size}, images.max_pixels is {max_pixels}")
    if encoded.width * encoded.height == 0:
        return Rejection(Reason.CORRUPT, size)
    pixels = encoded.pixels(background, 1 if shrink is None else shrink(encoded.width, encoded.height))
    upright = _UPRIGHT.get(_orientation(encoded), np.asarray)(pixels)
    return Decoded(np.ascontiguousarray(upright), encoded.format, encoded.animated)


def _orientation(encoded: EncodedImage) -> int:
    try:
        return encoded.orientation()
    except Exception:  # an intact image with broken metadata is not rotated, as in image viewers
        return 1


def _reason(error: Exception, data: bytes, container: str) -> Reason:
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY
    if isinstance(error, Image.DecompressionBombError):
        return Reason.TOO_MANY_PIXELS
    message = str(error).lower()
    if isinstance(error, UnsupportedError | NotImplementedError) or "conversion from" in message:
        return Reason.UNSUPPORTED
    if container != "JPEG" and "unsupported" in message:
        return Reason.UNSUPPORTED
    cut = container != "JPEG" and ("truncated" in message or _lacks_end(data, container))
    return Reason.TRUNCATED if cut or isinstance(error, EOFError | CutOffError) else Reason.CORRUPT


def _lacks_end(data: bytes, container: str) -> bool:
    """Return True if the end of a GIF, WebP or BMP file is missing."""
    if container == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if container == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return container == "BMP" and int.from_bytes(data[2:6], "little") > len(data)


def _one_line(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header cannot be read"
    explained = isinstance(error, ValueError | OSError) and str(error)
    text = " ".join((explained or f"{type(error).__name__}: {error}").split())
    return "".join(char if char.isprintable() else "?" for char in text)[:200]
