"""JPEG: decoded as Pillow does, whole or smaller, to the bit, but what libjpeg only warns of is an error.

Pillow drops libjpeg's warnings, so that a file that was damaged in the middle comes out as an image with a grey or
shifted part. simplejpeg, the same library, can be strict.
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

MAX_SCANS = 500  # each walks the whole image again, so that a small file could keep a core for hours
USUAL_SCANS = 20  # whatever the size: a progressive photo has 10, in CMYK 18
MAX_SCANNED = 100_000_000  # scans × pixels beyond that: half a second
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no stuffed 0xFF, no restart within a scan
_ALONE, _START, _END, _SCAN = 0x01, 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DECODED = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA)  # baseline, extended, progressive, lossless; two by arithmetic coding
_SEQUENTIAL = (0xC0, 0xC1)
_LOSSLESS = 0xC3  # has no frequencies to leave out: asked for less, libjpeg writes all of it, beyond the array
_PROGRESSIVE = (0xC2, 0xCA)
_REMARKS = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # APP1 … but Adobe's APP14, which tells the colours, and comments
_EXIF = 0xE1
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_STRANGE = ("not support", "unsupport", "sorry", "requested feature")


class _Segment(NamedTuple):
    kind: int
    start: int
    end: int  # of the segment itself; what follows a scan's belongs to it, up to the next marker


class JpegImage:
    """A JPEG file; see :class:`~goodbad_pipeline.images.formats.Image`.

    Raises:
        CutOffError: The file ends before the image does; here, or when pixels are asked for.
        UnsupportedError: It is of a kind that cannot be decoded strictly.
        ValueError: What it holds does not add up; here, or when pixels are asked for.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._segments = list(_segments(data))
        frame = next((segment for segment in self._segments if segment.kind in _FRAMES), None)
        if frame is None:
            raise (ValueError if self._is_whole else CutOffError)("no frame")
        if frame.end - frame.start < 10:
            raise ValueError("its frame is too short")
        depth, self.height, self.width, self._channels = struct.unpack_from(">BHHB", data, frame.start + 4)
        self._kind = frame.kind
        if frame.kind not in _DECODED:
            raise UnsupportedError(f"a process that is not decoded (SOF{frame.kind - 0xC0})")
        if depth != 8 or self._channels not in (1, 3, 4):
            raise UnsupportedError(f"{self._channels} channels of {depth} bits")
        if self.width and not self.height:
            raise UnsupportedError("its height stands behind its pixels")
        self.format, self.animated, self._orientation = self._describe()

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode it; see :meth:`~goodbad_pipeline.images.formats.Image.pixels`.

        What is lossless, in CMYK or sampled in a rare way comes whole whatever the factor.
        """
        if not self._is_whole:
            raise CutOffError("the file ends before its end marker")
        scans = sum(segment.kind == _SCAN for segment in self._segments)
        if scans > MAX_SCANS or (scans > USUAL_SCANS and scans * self.width * self.height > MAX_SCANNED):
            raise UnsupportedError(f"{scans} scans of {self.width} × {self.height} pixels take too long")
        bare = self._bare()
        smaller = 1 if self._channels == 4 or self._kind == _LOSSLESS else factor
        shape = -(-self.height // smaller), -(-self.width // smaller)
        least = dict(zip(("min_height", "min_width"), shape, strict=True))
        try:
            colours = "CMYK" if self._channels == 4 else "RGB"
            pixels = simplejpeg.decode_jpeg(bare, colours, min_factor=smaller, **least)
        except ValueError as error:
            self._judge(error, bare, scans)
        else:
            if pixels.shape[:2] != shape:
                raise ValueError(f"two sizes: {shape[1]} × {shape[0]} and {pixels.shape[1]} × {pixels.shape[0]}")
            self._check_scans()
            if self._channels < 4:
                return pixels
        with Image.open(io.BytesIO(bare), formats=("JPEG",)) as image:  # is sound: Pillow does as it does
            return to_rgb(image, background)

    def _check_scans(self) -> None:
        if self._kind in _PROGRESSIVE:
            heads = [(segment.kind, self._data[segment.start : segment.end]) for segment in self._segments]
            frame = next(head for kind, head in heads if kind in _FRAMES)
            check_scans(frame, [head for kind, head in heads if kind == _SCAN])

    def _judge(self, error: ValueError, bare: bytes, scans: int) -> None:
        """Pass over simplejpeg's error if it is but a sampling that it does not know."""
        said = str(error)
        if "subsampling level" in said:
            if scans > 1 or self._kind not in _SEQUENTIAL:
                raise UnsupportedError("its colours are sampled so that damage in it could not be told") from error
            check_extent(bare)
        elif any(word in said.lower() for word in _STRANGE):
            raise UnsupportedError(said) from error
        else:
            raise error

    def orientation(self) -> int:
        """How it is to be turned."""
        return self._orientation

    @property
    def _is_whole(self) -> bool:
        return bool(self._segments) and self._segments[-1].kind == _END

    def _describe(self) -> tuple[str, bool, int]:
        """Format, whether there are further images, and orientation: what Pillow finds in the remarks."""
        exif = next((segment for segment in self._segments if segment.kind == _EXIF), None)
        for find in (lambda: self._data, lambda: self._bare(keep=exif)):  # the second where other remarks are broken
            try:
                with Image.open(io.BytesIO(find()), formats=("JPEG",)) as image:
                    orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
                    return str(image.format), bool(getattr(image, "is_animated", False)), orientation
            except Exception:  # broken metadata of a sound image: it stays as it is stored
                continue
        return "JPEG", False, 1

    def _bare(self, keep: _Segment | None = None) -> bytes:
        """The file without remarks, without what lies between segments, and without what follows the image."""
        parts = [b"\xff\xd8"]
        for segment, following in zip(self._segments, [*self._segments[1:], None], strict=True):
            if segment.kind == 0xE0 and self._data.startswith(b"JFIF\0", segment.start + 4):
                parts.append(_JFIF)  # of whatever version
            elif segment.kind not in _REMARKS or segment is keep:
                to_next = segment.kind == _SCAN and following is not None
                parts.append(self._data[segment.start : following.start if to_next and following else segment.end])
        return b"".join(parts)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments up to the end marker, or as far as the file goes."""
    place = 2
    while found := _MARKER.search(data, place):
        kind, end = data[found.end() - 1], found.end()
        if kind == _START:
            raise ValueError("a second image begins within it")
        if kind not in (_ALONE, _END):
            if end + 2 > len(data):
                return
            length = int.from_bytes(data[end : end + 2])
            if length < 2:
                raise ValueError(f"a segment of {length} bytes")
            end += length
        if end > len(data):
            return
        yield _Segment(kind, found.start(), end)
        if kind == _END:
            return
        place = end


COEFFICIENTS = 64
_NEVER = 255  # bits that are still to come, of a coefficient that no scan has brought


def check_scans(frame: bytes, scans: Iterable[bytes]) -> None:
    """Follow what each scan brings (ITU-T T.81, B.2.3 and G.1.1.1).

    Args:
        frame: The frame's segment, from its marker on.
        scans: The segments that start scans, from their markers on.

    Raises:
        CutOffError: Bits of some coefficient never come.
        ValueError: A segment is too short for what it announces.
    """
    names = frame[10 : 10 + 3 * frame[9] : 3]
    missing = {name: np.full(COEFFICIENTS, _NEVER, np.uint8) for name in names}
    for scan in scans:
        end = 5 + 2 * scan[4] if len(scan) > 4 else 0
        if len(scan) < end + 3 or not end:
            raise ValueError("the head of a scan is too short")
        first, last, bits = scan[end : end + 3]
        for name in scan[5:end:2]:
            if name in missing:
                missing[name][first : last + 1] = bits & 15
    if any(left.any() for left in missing.values()):
        raise CutOffError("a progressive image of which scans are missing")


_SLACK = 16  # bytes; a decoder looks 8 ahead
_END_BYTES = 2  # bytes of the end marker


def check_extent(data: bytes) -> None:
    """Check that a sequential JPEG of one scan needs all of its data and no more.

    Args:
        data: The file, which has no thumbnails and ends with its end marker.

    Raises:
        ValueError: It does not.
    """
    if _wants_more(data[:-_END_BYTES] + bytes(_SLACK)):
        raise ValueError("its data end too early")
    header = data.rindex(b"\xff\xda") + 2
    start = header + int.from_bytes(data[header : header + 2])
    if not _wants_more(data[: max(start, len(data) - _END_BYTES - _SLACK)]):
        raise ValueError("its data go on behind its last row")


def _wants_more(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        return True
    return False
