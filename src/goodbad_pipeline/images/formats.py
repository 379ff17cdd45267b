"""Detect image formats, define the interface of their decoders, and decode all but JPEG and PNG."""

import io
import re
from typing import Protocol

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

Colour = tuple[int, int, int]

HEAD_BYTES = 132  # enough of a file's first bytes to recognise its format
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG"),  # PngImage checks the rest of the signature
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM.{12}[\x0c-\xff]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "PPM": re.compile(rb"P[1-6][\s#]"),
    "AVIF": re.compile(rb".{4}ftypavi[fs]", re.DOTALL),
    "HEIF": re.compile(rb".{4}ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
}
OTHER_CONTENT = {
    "JPEG 2000": rb"\0\0\0\x0cjP {2}|\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "SVG": rb"(\xef\xbb\xbf)?\s*(<\?xml|<svg)",
    "PDF": rb"%PDF-",
    "PSD": rb"8BPS",
    "DICOM": rb"(?s).{128}DICM",
    "ICO": rb"\0\0[\x01\x02]\0",
    "a web page": rb"(?i)\s*<(!doctype )?html",
    "a pointer of Git LFS, so run git lfs pull": rb"version https://git-lfs",
    "a ZIP archive": rb"PK\x03\x04",
}
"""What else files in image folders often are, and the first bytes of such a file."""
_UNSIGNED, _WHITE_IS_ZERO = 1, 0  # values of TIFF tags


class CutOffError(ValueError):
    """The file or its pixel data end before the image is complete."""


class UnsupportedError(ValueError):
    """The file uses a variant of its format that is not decoded."""


class EncodedImage(Protocol):
    """An image file whose header, but not its pixels, has been decoded.

    The constructor and :meth:`pixels` raise a CutOffError if the file ends too early, and a ValueError if the file is
    inconsistent. An UnsupportedError means that the file cannot be decoded, or cannot be checked for damage.
    """

    width: int
    height: int
    format: str
    animated: bool

    def orientation(self) -> int:
        """Return the EXIF orientation, 1–8. Any other number, from broken metadata, means that the image is upright."""

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Return the pixels in RGB, uint8 of shape (height, width, 3), without applying EXIF orientation.

        Transparent pixels are composited over ``background``. Width and height are divided by ``factor`` (1, 2, 4 or 8)
        and rounded up, if the decoder can reduce images of this format.
        """


def find_container(data: bytes) -> str | None:
    """Return Pillow's name for the format of ``data``, or None if it is not an accepted format."""
    return next((name for name, signature in SIGNATURES.items() if signature.match(data)), None)


def describe_unread(head: bytes) -> str:
    """Describe the content of a file whose format is not accepted, judging from the first bytes."""
    name = next((name for name, signature in OTHER_CONTENT.items() if re.match(signature, head)), None)
    found = f"content is {name}" if name else "content is in no known format"
    return f"{found}; formats that are read: JPEG, PNG, GIF, BMP, WebP, TIFF, PPM, AVIF, HEIC"


def scale(levels: np.ndarray, maximum: int = 65535) -> np.ndarray:
    """Scale levels from 0–``maximum`` to 0–255 and round them to uint8."""
    return ((levels.astype(np.uint32) * 255 + maximum // 2) // maximum).astype(np.uint8)


def to_rgb(image: Image.Image, background: Colour) -> np.ndarray:
    """Return the RGB pixels of an 8-bit image over ``background``, as uint8 of shape (height, width, 3)."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        under = Image.new("RGBA", rgba.size, (*background, 255))
        return np.asarray(Image.alpha_composite(under, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


class OtherImage:
    """A file that is neither JPEG nor PNG, decoded by Pillow; errors of Pillow propagate."""

    def __init__(self, data: bytes, container: str) -> None:
        if container == "HEIF":
            _enable_heif()
        self._image = Image.open(io.BytesIO(data), formats=(container,))
        self.width, self.height = self._image.size
        self.format = container
        self.animated = bool(getattr(self._image, "is_animated", False))

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode at full size; see :meth:`EncodedImage.pixels`."""
        image = self._image
        if image.mode == "F" or image.mode.startswith("I"):
            return to_rgb(Image.fromarray(_eight_bits(image)), background)
        image.load()
        return to_rgb(image, background)

    def orientation(self) -> int:
        """Return the EXIF orientation."""
        return int(self._image.getexif().get(ExifTags.Base.Orientation, 1))


def _enable_heif() -> None:
    try:
        import pillow_heif  # noqa: PLC0415 - an optional dependency that takes a tenth of a second to import
    except ImportError as error:
        raise UnsupportedError("HEIC, which needs the package pillow-heif (pip install pillow-heif)") from error
    pillow_heif.register_heif_opener()


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Return the grey levels of a TIFF or PGM as uint8."""
    if image.format == "PPM":
        return scale(np.asarray(image))  # Pillow scales them to 16 bits
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = max(tags.get(BITSPERSAMPLE, (1,)))
    if bits > 16 or set(tags.get(SAMPLEFORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        raise UnsupportedError(f"samples of {bits} bits; only unsigned integers of at most 16 bits are read")
    maximum = 2**bits - 1
    levels = np.asarray(image)
    return scale(maximum - levels if tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO else levels, maximum)
