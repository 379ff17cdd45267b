"""The accepted formats: how their first bytes look, and what may be wrong with a file that has them."""

import re
from typing import Protocol

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]

HEAD_BYTES = 18  # as many of a file's first bytes as name its format
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG"),  # the rest of its signature tells how it was damaged
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM.{12}[\x0c-\xff]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
}
NO_FORMAT = "content is none of JPEG, PNG, GIF, BMP, WebP, TIFF"


class CutOffError(ValueError):
    """The file, or the data of its pixels, ends before the image does."""


class UnsupportedError(ValueError):
    """A variant of an accepted format that is not decoded."""


class EncodedImage(Protocol):
    """A file whose header was read, and none of its pixels yet."""

    width: int
    height: int
    format: str
    animated: bool

    def orientation(self) -> int:
        """How it is to be turned, by EXIF: 1–8, or something else where its metadata are broken."""

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode to RGB, uint8 (height, width, 3), as it is stored; clear pixels show ``background``.

        Where the format can, sides are divided by ``factor`` (1, 2, 4 or 8) and rounded up.
        """


def find_container(data: bytes) -> str | None:
    """Name the format that the first bytes announce, in Pillow's words; None where it is none of ours."""
    return next((name for name, signature in SIGNATURES.items() if signature.match(data)), None)


def scale(levels: np.ndarray, most: int = 65535) -> np.ndarray:
    """Bring levels 0–``most`` to uint8 0–255, rounded, not clipped."""
    return ((levels.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)


def apply_transparency(image: Image.Image, clear: np.ndarray) -> Image.Image:
    """Make the pixels transparent where ``clear``, bool (height, width), is true."""
    seen = image.convert("RGB")
    seen.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return seen


def to_rgb(image: Image.Image, background: Colour) -> np.ndarray:
    """Lay an image of 8 bits over ``background``: uint8 (height, width, 3)."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        under = Image.new("RGBA", rgba.size, (*background, 255))
        return np.asarray(Image.alpha_composite(under, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))
