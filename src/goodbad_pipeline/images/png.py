"""Decode PNG: check every chunk, and pass only the chunks that define pixels to Pillow.

On its own, Pillow skips the checksums of pixel data, accepts pixel data that end early, rejects intact images with
broken metadata, and keeps only eight of sixteen bits.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from goodbad_pipeline.images.formats import Colour, CutOffError, UnsupportedError, scale, to_rgb

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}
_TRANSPARENT_BYTES = {GREY: 2, RGB: 6}  # size of a tRNS chunk, which makes one colour transparent
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_METADATA = re.compile(rb"XML:com\.adobe\.xmp\0|Raw profile type exif\0")  # text chunks that can hold the orientation
_FRAME = 12  # length, type and checksum around a chunk's data
_OTHER_UNLIKELY = 173
_UNLIKELY: dict[str, int | tuple[int, ...]] = {  # a colour that images rarely end with, by Pillow's mode
    "1": 0,
    "RGB": (173, 91, 37),
    "RGBA": (173, 91, 37, 1),
    "LA": (173, 1),
}
_DEFLATED, _INFLATED = 1 << 16, 1 << 20  # bytes processed at a time


class _Chunk(NamedTuple):
    kind: bytes
    data: memoryview
    whole: memoryview


class PngImage:
    """A PNG file; see :class:`~goodbad_pipeline.images.formats.EncodedImage`."""

    format = "PNG"

    def __init__(self, data: bytes) -> None:
        if len(data) < len(_SIGNATURE):
            raise CutOffError("the file ends within its signature")
        if not data.startswith(_SIGNATURE):
            raise ValueError("the signature was changed, as by a transfer in text mode")
        self._data = data
        header = next(_chunks(data))
        if header.kind != b"IHDR" or len(header.data) != 13:
            raise ValueError("the first chunk is no valid header")
        self.width, self.height, self._depth, self._colour, *methods = struct.unpack(">IIBBBBB", header.data)
        if self._depth not in _DEPTHS.get(self._colour, (8, 16)) or self._colour not in _CHANNELS:
            raise ValueError(f"a PNG cannot have {self._depth} bits per sample with colour type {self._colour}")
        if methods[:2] != [0, 0] or methods[2] > 1:
            raise ValueError(f"an unknown method of compression, filter or interlace: {methods}")
        self._interlaced = bool(methods[2])
        self.animated = False
        self._metadata: list[memoryview] = []
        self._palette = self._transparent = b""
        self._pixel_chunks: list[_Chunk] = []

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode at full size; see :meth:`~goodbad_pipeline.images.formats.EncodedImage.pixels`."""
        self._check_chunks()
        image = self._load()
        self._check_length(image)
        if self._depth == 16:
            levels = self._wide_levels(image)
            image = Image.fromarray(scale(levels))
        if len(self._transparent) == _TRANSPARENT_BYTES.get(self._colour):
            if self._depth < 16:
                levels = np.asarray(image.convert("L") if image.mode == "1" else image)
            equal = np.atleast_3d(levels) == self._transparent_levels()
            image = image.convert("RGB")
            image.putalpha(Image.fromarray(np.where(equal.all(axis=2), 0, 255).astype(np.uint8)))
        return to_rgb(image, background)

    def orientation(self) -> int:
        """Return the EXIF orientation. To save time, the metadata are copied to a one-pixel PNG that Pillow reads."""
        if not self._metadata:
            return 1
        header = _pack(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, GREY, 0, 0, 0))
        pixel = _pack(b"IDAT", zlib.compress(b"\0\0"))
        tiny = b"".join([_SIGNATURE, header, *self._metadata, pixel, _END])
        with Image.open(io.BytesIO(tiny), formats=("PNG",)) as image:
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))

    def _check_chunks(self) -> None:
        ended = False  # pixel chunks are consecutive; later pixel chunks are ignored
        for index, chunk in enumerate(_chunks(self._data)):
            if chunk.kind == b"IDAT" and not ended:
                self._pixel_chunks.append(chunk)
                continue
            if index and chunk.kind == b"IHDR":
                raise ValueError("the file has two headers")
            ended = bool(self._pixel_chunks)
            self._keep(chunk, before_pixels=not ended)
        colours, rest = divmod(len(self._palette), 3)
        if self._colour == PALETTE and (rest or not 1 <= colours <= 256):
            raise ValueError(f"a palette of {len(self._palette)} bytes, not of 1 to 256 colours of 3 bytes")
        if not self._pixel_chunks:
            raise ValueError("the file has no pixel data")

    def _keep(self, chunk: _Chunk, before_pixels: bool) -> None:
        """Store a chunk that decoding needs. Palette, transparency and animation count only before the pixel chunks."""
        kind = chunk.kind
        if kind == b"PLTE" and before_pixels:
            self._palette = bytes(chunk.data)
        elif kind == b"tRNS" and before_pixels:
            self._transparent = bytes(chunk.data)
        elif kind == b"acTL" and before_pixels:
            self.animated = len(chunk.data) == 8 and bytes(chunk.data[:4]) > b"\0\0\0\1"
        elif kind == b"eXIf" or (kind in (b"tEXt", b"zTXt", b"iTXt") and _METADATA.match(chunk.data)):
            self._metadata.append(chunk.whole)
        elif kind[:1].isupper() and kind not in _CRITICAL:
            raise UnsupportedError(f"an unknown critical chunk {kind.decode('ascii')}")

    def _load(self, *, low_bytes: bool = False) -> Image.Image:
        """Decode the stored chunks with Pillow. ``low_bytes`` gives the low, not the high bytes of 16-bit samples."""
        depth, colour = self._depth, self._colour
        if depth == 16 and colour == GREY_ALPHA:
            depth, colour = 8, RGBA  # the same bytes; Pillow would drop half of them
        header = struct.pack(">IIBBBBB", self.width, self.height, depth, colour, 0, 0, self._interlaced)
        parts: list[bytes | memoryview] = [_SIGNATURE, _pack(b"IHDR", header)]
        if colour == PALETTE:
            parts.append(_pack(b"PLTE", self._palette.ljust(768, b"\0")))  # indices beyond it are black, as in browsers
            if 0 < len(self._transparent) <= len(self._palette) // 3:
                parts.append(_pack(b"tRNS", self._transparent))
        parts += [chunk.whole for chunk in self._pixel_chunks]
        image = Image.open(io.BytesIO(b"".join([*parts, _END])), formats=("PNG",))
        if low_bytes:
            (tile,) = image.tile
            image.tile = [tile._replace(args=str(tile.args).replace("16B", "16L"))]
        else:
            blank = Image.new(image.mode, image.size, _UNLIKELY.get(image.mode, _OTHER_UNLIKELY))
            image.im = blank.im  # Pillow decodes into the blank image; missing pixels keep the unlikely colour
        image.load()
        return image

    def _wide_levels(self, image: Image.Image) -> np.ndarray:
        """Return 16-bit samples, uint16 (h, w[, channels]). Pillow decodes high and low bytes of colours separately."""
        if self._colour == GREY:
            return np.asarray(image)
        if self._colour == GREY_ALPHA:
            return np.asarray(image).view(">u2")
        return np.asarray(image).astype(np.uint16) << 8 | np.asarray(self._load(low_bytes=True))

    def _transparent_levels(self) -> np.ndarray:
        """Return the transparent colour in the range of Pillow's samples; 1, 2 or 4 bits become 0–255."""
        levels = np.frombuffer(self._transparent, ">u2") & (2**self._depth - 1)
        return levels * 255 // (2**self._depth - 1) if self._depth < 8 else levels

    def _check_length(self, image: Image.Image) -> None:
        """Check that the pixel data include the last row.

        Pillow decodes onto a blank image of an unlikely colour. A last row with any other colour was therefore decoded.
        If the last row has only the unlikely colour, or the image is interlaced, the bytes of pixel data are counted.
        """
        last = image.crop((0, self.height - 1, self.width, self.height))
        if not self._interlaced and (np.asarray(last) != _UNLIKELY.get(image.mode, _OTHER_UNLIKELY)).any():
            return
        expected = self._stream_length()
        actual = _inflated_length((chunk.data for chunk in self._pixel_chunks), expected)
        if actual < expected:
            raise CutOffError(f"the pixel data have {actual} bytes instead of {expected}")

    def _stream_length(self) -> int:
        bits = self._depth * _CHANNELS[self._colour]
        passes = _ADAM7 if self._interlaced else ((0, 0, 1, 1),)
        length = 0
        for left, top, across, down in passes:
            columns, rows = -((left - self.width) // across), -((top - self.height) // down)
            if columns > 0 and rows > 0:
                length += rows * (1 + (columns * bits + 7) // 8)
        return length


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield each chunk up to IEND, after checking the chunk's checksum."""
    view = memoryview(data)
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        if start + _FRAME > len(data):
            raise CutOffError("the file ends before the chunk IEND")
        (length,) = struct.unpack_from(">I", data, start)
        kind, end = data[start + 4 : start + 8], start + 8 + length
        name = kind.decode("latin-1")
        if not (kind.isalpha() and length < 1 << 31):
            raise ValueError(f"an invalid chunk with the name {name} and {length} bytes")
        if end + 4 > len(data):
            raise (ValueError if data.endswith(_END[4:]) else CutOffError)(f"the file ends within the chunk {name}")
        if zlib.crc32(view[start + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"wrong checksum in the chunk {name}")
        yield _Chunk(kind, view[start + 8 : end], view[start : end + 4])
        start = end + 4


def _pack(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _inflated_length(parts: Iterator[memoryview], enough: int) -> int:
    """Return the length of the inflated data. Stop when the length reaches ``enough`` bytes, to save time."""
    stream, length = zlib.decompressobj(), 0
    for part in parts:
        for start in range(0, len(part), _DEFLATED):
            left: bytes | memoryview = part[start : start + _DEFLATED]
            while left and not stream.eof and length < enough:
                length += len(stream.decompress(left, _INFLATED))
                left = stream.unconsumed_tail
    return length
