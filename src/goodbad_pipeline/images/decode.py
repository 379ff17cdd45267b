"""THE decoder: bytes in, upright 8-bit RGB out, or a reason.

Ingestion, training, evaluation and prediction all go through :func:`decode_image`, so that a picture is the same
array everywhere.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from goodbad_pipeline.images.reasons import Reason
from goodbad_pipeline.images.strict import CutOffError, check_png, decode_jpeg, find_container, is_cut

Colour = tuple[int, int, int]

_LONGEST_DETAIL = 200
_SIXTEEN_BITS = 65535
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
    """An upright picture.

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
    """A file that is no usable picture, and why (in one printable line)."""

    reason: Reason
    detail: str


class UnsupportedError(ValueError):
    """A variant of an accepted format that has no certain meaning in 8 bits."""


def decode_image(data: bytes, *, max_pixels: int, background: Colour, tiff: bool = False) -> Decoded | Rejected:
    """Decode one file's bytes; never raises, whatever the bytes are.

    The content decides the format, not the file name. The number of pixels is checked before any is decoded. EXIF
    orientation is applied, 16-bit grey is scaled (not clipped), animations give their first frame, and transparent
    pixels are laid over ``background``. Damage that decoders usually pass over in silence is an error here
    (:mod:`~goodbad_pipeline.images.strict`).

    Args:
        data: The whole file.
        max_pixels: Largest width × height that is decoded.
        background: RGB colour, 0–255 each, under transparent pixels.
        tiff: Whether TIFF is accepted beside JPEG, PNG, GIF, BMP and WebP.

    Returns:
        The picture, or the reason why there is none.
    """
    if not data:
        return Rejected(Reason.EMPTY, "zero bytes")
    container = find_container(data)
    if container is None:
        return Rejected(Reason.NOT_AN_IMAGE, "content is none of JPEG, PNG, GIF, BMP, WebP, TIFF")
    if container == "TIFF" and not tiff:
        return Rejected(Reason.UNSUPPORTED, "TIFF, and images.tiff is false")
    try:
        return _decode(data, container, max_pixels, background)
    except Exception as error:  # Pillow's decoders raise a dozen types on hostile bytes
        return Rejected(_reason(error, data, container), _one_line(error))


def _decode(data: bytes, container: str, max_pixels: int, background: Colour) -> Decoded | Rejected:
    with Image.open(io.BytesIO(data), formats=(container,)) as image:
        size = f"{image.width} × {image.height} pixels"
        if image.width * image.height > max_pixels:
            return Rejected(Reason.TOO_MANY_PIXELS, f"{size}, images.max_pixels is {max_pixels}")
        if image.width * image.height == 0:
            return Rejected(Reason.CORRUPT, size)
        animated = bool(getattr(image, "is_animated", False))
        if container == "PNG":
            check_png(data)
        pixels = decode_jpeg(data, image) if container == "JPEG" else None
        if pixels is None:
            image.load()
            pixels = _to_rgb(image, background)
        upright = _UPRIGHT.get(_orientation(image), np.asarray)(pixels)
        return Decoded(np.ascontiguousarray(upright), str(image.format), animated)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata of a sound picture: it stays as it is stored, as in any viewer
        return 1


def _to_rgb(image: Image.Image, background: Colour) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scale_sixteen_bit(image, background)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        under = Image.new("RGBA", rgba.size, (*background, 255))
        return np.asarray(Image.alpha_composite(under, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _scale_sixteen_bit(image: Image.Image, background: Colour) -> np.ndarray:
    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > _SIXTEEN_BITS:
        raise UnsupportedError("samples of 32 bits: where black and white are is not said")
    grey = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=2)
    if isinstance(clear := image.info.get("transparency"), int):
        pixels[levels == clear] = background
    return pixels


def _reason(error: Exception, data: bytes, container: str) -> Reason:
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY
    if isinstance(error, Image.DecompressionBombError):
        return Reason.TOO_MANY_PIXELS
    if isinstance(error, UnsupportedError | NotImplementedError) or "conversion from" in str(error):
        return Reason.UNSUPPORTED
    said = any(word in str(error).lower() for word in ("truncated", "premature end"))
    cut = isinstance(error, EOFError | CutOffError) or said or is_cut(data, container)
    return Reason.TRUNCATED if cut else Reason.CORRUPT


def _one_line(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header cannot be read"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:_LONGEST_DETAIL]
