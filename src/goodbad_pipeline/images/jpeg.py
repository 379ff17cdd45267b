"""Decode JPEG to exactly the same pixels as Pillow, at full or reduced size, but treat libjpeg's warnings as errors.

Pillow ignores these warnings, so a file that is damaged in the middle becomes an image with a grey or shifted part.
simplejpeg also uses libjpeg and can raise the warnings as errors. This module adds two checks. A progressive image
must have all its scans (:func:`check_scans`). Pillow decodes files with a chroma sampling that simplejpeg does not
support; the pixel data of such a file must end with the last row (:func:`check_extent`).
"""

import io
import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import ExifTags, Image

from goodbad_pipeline.images.formats import Colour, CutOffError, UnsupportedError, to_rgb

MAX_SCANS = 500  # each scan processes the whole image again, so a small file could take hours
USUAL_SCANS = 20  # allowed at any size; a progressive photo has 10, or 18 in CMYK
MAX_SCANNED = 100_000_000  # scans × pixels allowed beyond USUAL_SCANS; they take half a second
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # excludes stuffed bytes, fill bytes and restart markers
_ALONE, _START, _END, _SCAN = 0x01, 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DECODED = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA)  # baseline, extended, progressive, lossless; two arithmetic codings
_SEQUENTIAL = (0xC0, 0xC1)
_LOSSLESS = 0xC3  # cannot be reduced: libjpeg would write the full size, beyond the end of a smaller array
_PROGRESSIVE = (0xC2, 0xCA)
_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # comments and APPn, except Adobe's APP14, which defines the colours
_EXIF = 0xE1
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_NOT_SUPPORTED = ("not support", "unsupport", "sorry", "requested feature")
_SLACK = 16  # bytes; decoders read up to 8 bytes ahead
_END_BYTES = 2  # bytes of the end marker


class _Segment(NamedTuple):
    kind: int
    start: int
    end: int  # end of the segment; a scan's data follow, up to the next marker


class JpegImage:
    """A JPEG file; see :class:`~goodbad_pipeline.images.formats.EncodedImage`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._segments = list(_segments(data))
        frame = next((segment for segment in self._segments if segment.kind in _FRAMES), None)
        if frame is None:
            raise (ValueError if self._is_whole else CutOffError)("the header states no image size")
        if frame.end - frame.start < 10:
            raise ValueError("the header of the frame is too short")
        depth, self.height, self.width, self._channels = struct.unpack_from(">BHHB", data, frame.start + 4)
        self._frame, self._kind = data[frame.start : frame.end], frame.kind
        if frame.kind not in _DECODED:
            raise UnsupportedError(f"a JPEG process that cannot be decoded (SOF{frame.kind - 0xC0})")
        if depth != 8 or self._channels not in (1, 3, 4):
            raise UnsupportedError(f"{self._channels} channels of {depth} bits, not 1, 3 or 4 channels of 8 bits")
        if self.width and not self.height:
            raise UnsupportedError("the height is stored after the pixels")
        self.format, self.animated, self._orientation = self._describe()

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode the image. ``factor`` has no effect for lossless files, CMYK, and files that Pillow decodes."""
        if not self._is_whole:
            raise CutOffError("the file ends before its end marker")
        scans = [self._data[segment.start : segment.end] for segment in self._segments if segment.kind == _SCAN]
        count = len(scans)
        if count > MAX_SCANS or (count > USUAL_SCANS and count * self.width * self.height > MAX_SCANNED):
            raise UnsupportedError(f"{count} scans of {self.width} × {self.height} pixels take too long to decode")
        stripped = self._stripped()
        smaller = 1 if self._channels == 4 or self._kind == _LOSSLESS else factor
        shape = -(-self.height // smaller), -(-self.width // smaller)
        least = dict(zip(("min_height", "min_width"), shape, strict=True))
        try:
            colours = "CMYK" if self._channels == 4 else "RGB"
            pixels = simplejpeg.decode_jpeg(stripped, colours, min_factor=smaller, **least)
        except ValueError as error:
            self._check_error(error, stripped, count)
        else:
            if pixels.shape[:2] != shape:
                raise ValueError(f"decoded to {pixels.shape[1]} × {pixels.shape[0]}, not {shape[1]} × {shape[0]}")
            if self._kind in _PROGRESSIVE:
                check_scans(self._frame, scans)
            if self._channels < 4:
                return pixels
        with Image.open(io.BytesIO(stripped), formats=("JPEG",)) as image:  # shown above to be intact
            return to_rgb(image, background)

    def _check_error(self, error: ValueError, stripped: bytes, scans: int) -> None:
        """Raise an error, except for an intact file whose ``error`` is a chroma sampling that only Pillow decodes."""
        message = str(error)
        if "subsampling level" in message:
            if scans > 1 or self._kind not in _SEQUENTIAL:
                raise UnsupportedError("a chroma sampling for which damage cannot be detected") from error
            check_extent(stripped)
        elif any(word in message.lower() for word in _NOT_SUPPORTED):
            raise UnsupportedError(message) from error
        else:
            raise error

    def orientation(self) -> int:
        """Return the EXIF orientation."""
        return self._orientation

    @property
    def _is_whole(self) -> bool:
        return bool(self._segments) and self._segments[-1].kind == _END

    def _describe(self) -> tuple[str, bool, int]:
        """Return Pillow's name for the format, whether the file has several images, and the EXIF orientation."""
        exif = next((segment for segment in self._segments if segment.kind == _EXIF), None)
        # The second attempt omits all metadata but EXIF, because they may be broken.
        for read in (lambda: self._data, lambda: self._stripped(keep=exif)):
            try:
                with Image.open(io.BytesIO(read()), formats=("JPEG",)) as image:
                    orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
                    return str(image.format), bool(getattr(image, "is_animated", False)), orientation
            except Exception:  # an intact image with broken metadata is not rotated
                continue
        return "JPEG", False, 1

    def _stripped(self, keep: _Segment | None = None) -> bytes:
        """Return the file without metadata, without bytes between segments, and without bytes after the image."""
        parts = [b"\xff\xd8"]
        for segment, following in zip(self._segments, [*self._segments[1:], None], strict=True):
            if segment.kind == 0xE0 and self._data.startswith(b"JFIF\0", segment.start + 4):
                parts.append(_JFIF)  # any version
            elif segment.kind not in _METADATA or segment is keep:
                to_next = segment.kind == _SCAN and following is not None
                parts.append(self._data[segment.start : following.start if to_next and following else segment.end])
        return b"".join(parts)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments up to the end marker or the end of the file."""
    start = 2
    while marker := _MARKER.search(data, start):
        kind, end = data[marker.end() - 1], marker.end()
        if kind == _START:
            raise ValueError("a second image begins before the first image ends")
        if kind not in (_ALONE, _END):
            if end + 2 > len(data):
                return
            length = int.from_bytes(data[end : end + 2])
            if length < 2:
                raise ValueError(f"a segment states that it has {length} bytes; the minimum is 2")
            end += length
        if end > len(data):
            return
        yield _Segment(kind, marker.start(), end)
        if kind == _END:
            return
        start = end


def check_scans(frame: bytes, scans: Iterable[bytes]) -> None:
    """Check that progressive scans contain every bit of every coefficient (ITU-T T.81, B.2.3 and G.1.1.1).

    ``frame`` and ``scans`` are the header segments of the frame and of the scans, each beginning with its marker.

    Raises:
        CutOffError: Some bits of a coefficient are missing.
        ValueError: The header of a scan ends before its last field.
    """
    names = frame[10 : 10 + 3 * frame[9] : 3]
    missing = {name: np.full(64, 255, np.uint8) for name in names}  # missing bits; 255 before any scan
    for scan in scans:
        end = 5 + 2 * scan[4] if len(scan) > 4 else 0
        if len(scan) < end + 3 or not end:
            raise ValueError("the header of a scan is too short")
        first, last, bits = scan[end : end + 3]
        for name in scan[5:end:2]:
            if name in missing:
                missing[name][first : last + 1] = bits & 15
    if any(left.any() for left in missing.values()):
        raise CutOffError("a progressive image with missing scans")


def check_extent(data: bytes) -> None:
    """Raise a ValueError unless the pixel data of a sequential, single-scan JPEG end with the last row."""
    if _is_too_short(data[:-_END_BYTES] + bytes(_SLACK)):
        raise ValueError("the pixel data end before the last row")
    header = data.rindex(b"\xff\xda") + 2
    start = header + int.from_bytes(data[header : header + 2])
    if not _is_too_short(data[: max(start, len(data) - _END_BYTES - _SLACK)]):
        raise ValueError("the pixel data continue after the last row")


def _is_too_short(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        return True
    return False
