"""THE decoder: bytes in, upright 8-bit RGB out, or a reason.

Ingestion, training, evaluation and prediction all go through :func:`decode_image`, so that a picture is the same
array everywhere.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from goodbad_pipeline.images.reasons import Reason

Colour = tuple[int, int, int]

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")  # multi-picture JPEG (MPO) comes in through JPEG
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Decoded:
    """An upright picture.

    Attributes:
        pixels: uint8 array of shape (height, width, 3), RGB, 0–255.
        format: Pillow's name of the container the content turned out to be, for example ``JPEG``.
    """

    pixels: np.ndarray
    format: str


@dataclass(frozen=True)
class Rejected:
    """A file that is no usable picture, and why."""

    reason: Reason
    detail: str


Image.init()


def decode_image(data: bytes, *, max_pixels: int, background: Colour) -> Decoded | Rejected:
    """Decode one file's bytes; never raises, whatever the bytes are.

    The content decides the format, not the file name. The number of pixels is checked before any is decoded. EXIF
    orientation is applied, 16-bit grey is scaled (not clipped), animations give their first frame, and transparent
    pixels are laid over ``background``.

    Args:
        data: The whole file.
        max_pixels: Largest width × height that is decoded.
        background: RGB colour, 0–255 each, under transparent pixels.

    Returns:
        The picture, or the reason why there is none.
    """
    if not data:
        return Rejected(Reason.EMPTY, "zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, max_pixels, background)
    except UnidentifiedImageError:
        return Rejected(Reason.NOT_AN_IMAGE, f"content is none of {', '.join(FORMATS)}")
    except Image.DecompressionBombError as error:
        return Rejected(Reason.TOO_MANY_PIXELS, str(error))
    except Exception as error:  # Pillow's decoders raise a dozen types on hostile bytes
        return Rejected(_decoder_reason(error), f"{type(error).__name__}: {error}")


def _decode(data: bytes, max_pixels: int, background: Colour) -> Decoded | Rejected:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        container = str(image.format)
        if image.width * image.height > max_pixels:
            detail = f"{image.width} × {image.height} pixels, images.max_pixels is {max_pixels}"
            return Rejected(Reason.TOO_MANY_PIXELS, detail)
        image.load()
        upright = ImageOps.exif_transpose(image)
        return Decoded(np.asarray(_to_rgb(upright, background)), container)


def _decoder_reason(error: Exception) -> Reason:
    short = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return Reason.TRUNCATED if short else Reason.CORRUPT


def _to_rgb(image: Image.Image, background: Colour) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        return _scale_sixteen_bit(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        under = Image.new("RGBA", rgba.size, (*background, 255))
        return Image.alpha_composite(under, rgba).convert("RGB")
    return image.convert("RGB")


def _scale_sixteen_bit(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.float64) / 257.0
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
