"""The accepted formats: their signatures, their errors, and the conversion of levels and colours."""

import re
from typing import Protocol

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]

HEAD_BYTES = 18  # enough of a file's first bytes to recognise its format
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG"),  # the rest of the signature shows how the file was damaged
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM.{12}[\x0c-\xff]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
}
NO_FORMAT = "content is none of JPEG, PNG, GIF, BMP, WebP, TIFF"


class CutOffError(ValueError):
    """The file, or its pixel data, ends before the image does."""


class UnsupportedError(ValueError):
    """A variant of an accepted format that is not decoded."""


class EncodedImage(Protocol):
    """A file whose header has been read, but none of its pixels."""

    width: int
    height: int
    format: str
    animated: bool

    def orientation(self) -> int:
        """Return the EXIF orientation, 1–8, or another number if the metadata are broken."""

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode to RGB, uint8 (height, width, 3), before EXIF orientation, with transparency over ``background``.

        If the format supports it, the sides are divided by ``factor`` (1, 2, 4 or 8) and rounded up.
        """


def find_container(data: bytes) -> str | None:
    """Return Pillow's name of the format with this signature, or None if it is not accepted."""
    return next((name for name, signature in SIGNATURES.items() if signature.match(data)), None)


def scale(levels: np.ndarray, maximum: int = 65535) -> np.ndarray:
    """Scale levels 0–``maximum`` to uint8 0–255, rounded, not clipped."""
    return ((levels.astype(np.uint32) * 255 + maximum // 2) // maximum).astype(np.uint8)


def apply_transparency(image: Image.Image, transparent: np.ndarray) -> Image.Image:
    """Return an RGBA copy whose pixels are transparent where ``transparent``, bool (height, width), is true."""
    rgba = image.convert("RGB")
    rgba.putalpha(Image.fromarray(np.where(transparent, 0, 255).astype(np.uint8)))
    return rgba


def to_rgb(image: Image.Image, background: Colour) -> np.ndarray:
    """Composite an 8-bit image over ``background``: uint8 (height, width, 3)."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        under = Image.new("RGBA", rgba.size, (*background, 255))
        return np.asarray(Image.alpha_composite(under, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))
