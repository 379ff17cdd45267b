"""What Pillow lets pass: JPEG data that do not add up, PNG chunks whose checksums are wrong.

Pillow drops libjpeg's warnings and, for speed, the checksums of a PNG's pixel data, so that a file that was damaged in
the middle comes out as a picture with a grey or shifted part. Here both are errors.
"""

import re
import struct
import zlib

import numpy as np
import simplejpeg
from PIL import Image

SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
}
MAX_SCANS = (
    500  # of a progressive JPEG: each walks the whole picture again, so a small file could keep a core for hours
)
_PNG_START = 8
_CHUNK_FRAME = 12  # length, type and checksum around a chunk's data


class CutOffError(ValueError):
    """The file ends before the picture does."""


def find_container(data: bytes) -> str | None:
    """Name the format that the first bytes announce, in Pillow's words; None where it is none of ours."""
    return next((name for name, signature in SIGNATURES.items() if signature.match(data)), None)


def is_cut(data: bytes, container: str) -> bool:
    """Whether a file that could not be decoded lacks its end, as far as its format has one."""
    if container == "JPEG":
        return b"\xff\xd9" not in data
    if container == "PNG":
        return b"IEND" not in data
    if container == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if container == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return container == "BMP" and int.from_bytes(data[2:6], "little") > len(data)


def check_png(data: bytes) -> None:
    """Check that every chunk is whole and has the checksum it carries.

    Raises:
        CutOffError: The file ends before its last chunk.
        ValueError: A checksum is wrong.
    """
    view = memoryview(data)
    start, kind = _PNG_START, b""
    while kind != b"IEND":
        if start + _CHUNK_FRAME > len(data):
            raise CutOffError("the file ends before the chunk IEND")
        (length,) = struct.unpack_from(">I", data, start)
        kind, end = data[start + 4 : start + 8], start + 8 + length
        if end + 4 > len(data):
            raise CutOffError(f"the file ends within the chunk {kind.decode('latin-1')}")
        if zlib.crc32(view[start + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"wrong checksum in the chunk {kind.decode('latin-1')}")
        start = end + 4


def decode_jpeg(data: bytes, image: Image.Image) -> np.ndarray | None:
    """Decode a JPEG as Pillow does, to the bit, but refuse what libjpeg only warns of.

    Args:
        data: The file.
        image: The same, opened by Pillow and not yet loaded.

    Returns:
        uint8 (height, width, 3); None where Pillow has to decode it (CMYK, after the check, and rare samplings).

    Raises:
        ValueError: libjpeg's error or warning.
    """
    if data.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError(f"more than {MAX_SCANS} scans")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
    except ValueError:
        return None
    if (width, height) != image.size:
        raise ValueError(f"two sizes: {image.width} × {image.height} and {width} × {height}")
    if image.mode == "CMYK":
        simplejpeg.decode_jpeg(data, "CMYK")
        return None
    return simplejpeg.decode_jpeg(data, "RGB")
