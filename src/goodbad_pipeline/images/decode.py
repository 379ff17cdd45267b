"""THE decoder: bytes in, upright 8-bit RGB out, or a reason.

Ingestion, training, evaluation and prediction all go through :func:`decode_image`, so that an image is the same
array everywhere.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from goodbad_pipeline.images.formats import (
    NO_FORMAT,
    Colour,
    CutOffError,
    EncodedImage,
    UnsupportedError,
    find_container,
)
from goodbad_pipeline.images.jpeg import JpegImage
from goodbad_pipeline.images.other_formats import OtherImage
from goodbad_pipeline.images.png import PngImage
from goodbad_pipeline.images.reasons import Reason

_LONGEST_DETAIL = 200
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
warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata; what concerns pixels is checked here


@dataclass(frozen=True)
class Decoded:
    """An upright image.

    Attributes:
        pixels: uint8 array of shape (height, width, 3), RGB, 0–255.
        format: Pillow's name of the container the content turned out to be, for example ``JPEG`` or ``MPO``.
        animated: Whether it is the first of several frames or pages.
    """

    pixels: np.ndarray
    format: str
    animated: bool = False


@dataclass(frozen=True)
class Rejected:
    """A file that is no usable image, and why (in one printable line)."""

    reason: Reason
    detail: str


Shrink = Callable[[int, int], int]
"""From width and height, in pixels, to the factor by which the sides may be divided: 1, 2, 4 or 8."""


def decode_image(
    data: bytes, *, max_pixels: int, background: Colour, tiff: bool = False, shrink: Shrink | None = None
) -> Decoded | Rejected:
    """Decode one file's bytes; never raises, whatever the bytes are.

    The content decides the format, not the file name. The number of pixels is checked before any is decoded. EXIF
    orientation is applied, 16 bits are scaled (not clipped), animations give their first frame, and transparent
    pixels are laid over ``background``. Damage that decoders usually pass over in silence is an error here
    (:mod:`~goodbad_pipeline.images.jpeg`, :mod:`~goodbad_pipeline.images.png`).

    Args:
        data: The whole file.
        max_pixels: Largest width × height that is decoded.
        background: RGB colour, 0–255 each, under transparent pixels.
        tiff: Whether TIFF is accepted beside JPEG, PNG, GIF, BMP and WebP.
        shrink: By how much an image may come out smaller, which takes less time; what is accepted does not depend on
            it. JPEG alone can. None for images in full size.

    Returns:
        The image, or the reason why there is none.
    """
    if not data:
        return Rejected(Reason.EMPTY, "zero bytes")
    container = find_container(data)
    if container is None:
        return Rejected(Reason.NOT_AN_IMAGE, NO_FORMAT)
    if container == "TIFF" and not tiff:
        return Rejected(Reason.UNSUPPORTED, "TIFF, and images.tiff is false")
    try:
        return _decode(_open(data, container), max_pixels, background, shrink)
    except Exception as error:  # Pillow's decoders raise a dozen types on hostile bytes
        return Rejected(_reason(error, data, container), _one_line(error))


def _open(data: bytes, container: str) -> EncodedImage:
    if container == "PNG":
        return PngImage(data)
    return JpegImage(data) if container == "JPEG" else OtherImage(data, container)


def _decode(encoded: EncodedImage, max_pixels: int, background: Colour, shrink: Shrink | None) -> Decoded | Rejected:
    size = f"{encoded.width} × {encoded.height} pixels"
    if encoded.width * encoded.height > max_pixels:
        return Rejected(Reason.TOO_MANY_PIXELS, f"{size}, images.max_pixels is {max_pixels}")
    if encoded.width * encoded.height == 0:
        return Rejected(Reason.CORRUPT, size)
    pixels = encoded.pixels(background, 1 if shrink is None else shrink(encoded.width, encoded.height))
    upright = _UPRIGHT.get(_orientation(encoded), np.asarray)(pixels)
    return Decoded(np.ascontiguousarray(upright), encoded.format, encoded.animated)


def _orientation(encoded: EncodedImage) -> int:
    try:
        return encoded.orientation()
    except Exception:  # broken metadata of a sound image: it stays as it is stored, as in any viewer
        return 1


def _reason(error: Exception, data: bytes, container: str) -> Reason:
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY
    if isinstance(error, Image.DecompressionBombError):
        return Reason.TOO_MANY_PIXELS
    said = str(error).lower()
    if isinstance(error, UnsupportedError | NotImplementedError) or "conversion from" in said:
        return Reason.UNSUPPORTED
    if container != "JPEG" and "unsupported" in said:
        return Reason.UNSUPPORTED
    cut = container != "JPEG" and ("truncated" in said or _lacks_end(data, container))
    return Reason.TRUNCATED if cut or isinstance(error, EOFError | CutOffError) else Reason.CORRUPT


def _lacks_end(data: bytes, container: str) -> bool:
    """Whether a file that could not be decoded lacks its end, as far as its format has one."""
    if container == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if container == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return container == "BMP" and int.from_bytes(data[2:6], "little") > len(data)


def _one_line(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header cannot be read"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:_LONGEST_DETAIL]
