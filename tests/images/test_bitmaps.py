"""BMP and GIF, written byte by byte."""

import struct

import numpy as np
import pytest

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.rejections import Reason, Rejection

PALETTE = np.array([[10 * level, 255 - 10 * level, 3 * level] for level in range(16)], np.uint8)
INDICES = np.arange(1, 13).reshape(3, 4)
LEVELS = (np.arange(36).reshape(3, 4, 3) * 7).astype(np.uint8)


def decode(data: bytes) -> Decoded | Rejection:
    return decode_image(data, max_pixels=10**6, background=(9, 99, 199))


def bmp(bits: int, compression: int, pixels: bytes, masks: tuple[int, ...] = (), height: int = 3) -> bytes:
    colours = np.pad(PALETTE[:, ::-1], ((0, 0), (0, 1))).tobytes() if bits <= 8 else b""
    more = struct.pack(f"<{len(masks)}I", *masks) + colours
    header = struct.pack("<IiiHHIIiiII", 40, 4, height, 1, bits, compression, len(pixels), 0, 0, len(colours) // 4, 0)
    start = 54 + len(more)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + more + pixels


def gif(indices: np.ndarray, *, interlaced: bool = False, codes: list[int] | None = None) -> bytes:
    height, width = indices.shape
    rows = [*range(0, height, 8), *range(4, height, 8), *range(2, height, 4), *range(1, height, 2)]
    order = indices[rows] if interlaced else indices
    codes = [code for index in order.ravel().tolist() for code in (16, index)] + [17] if codes is None else codes
    bits = sum(code << 5 * place for place, code in enumerate(codes)).to_bytes(-(-5 * len(codes) // 8), "little")
    screen = struct.pack("<HHBBB", width, height, 0x83, 0, 0) + PALETTE.tobytes()
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0x40 * interlaced)
    return b"GIF89a" + screen + frame + b"\4" + bytes([len(bits)]) + bits + b"\0;"


RUNS = b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in INDICES[::-1].tolist()) + b"\0\1"
HALVES = [bytes([a << 4 | b, c << 4 | d]) for a, b, c, d in INDICES[::-1].tolist()]
UPWARD = LEVELS[::-1, :, ::-1]
WIDE = np.pad(UPWARD, ((0, 0), (0, 0), (0, 1))).tobytes()
SOUND = {
    "8 bits": (bmp(8, 0, INDICES[::-1].astype(np.uint8).tobytes()), PALETTE[INDICES]),
    "8 bits, from the top": (bmp(8, 0, INDICES.astype(np.uint8).tobytes(), height=-3), PALETTE[INDICES]),
    "8 bits, runs": (bmp(8, 1, RUNS), PALETTE[INDICES]),
    "4 bits": (bmp(4, 0, b"".join(half + b"\0\0" for half in HALVES)), PALETTE[INDICES]),
    "4 bits, runs": (bmp(4, 2, b"".join(b"\0\4" + half + b"\0\0" for half in HALVES)), PALETTE[INDICES]),
    "24 bits": (bmp(24, 0, UPWARD.tobytes()), LEVELS),
    "32 bits": (bmp(32, 0, WIDE), LEVELS),
    "32 bits, masks": (bmp(32, 3, WIDE, (0xFF0000, 0xFF00, 0xFF)), LEVELS),
    "GIF": (gif(INDICES), PALETTE[INDICES]),
    "GIF, interlaced": (
        gif(np.arange(44).reshape(11, 4) % 16, interlaced=True),
        PALETTE[np.arange(44) % 16].reshape(11, 4, 3),
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_valid_files_decode_to_the_written_pixels(name: str) -> None:
    decoded = decode(SOUND[name][0])
    assert isinstance(decoded, Decoded), decoded
    np.testing.assert_array_equal(decoded.pixels, SOUND[name][1])


BROKEN = {
    "embedded JPEG": (bmp(0, 4, b"\xff\xd8"), Reason.UNSUPPORTED),
    "66 bits": (bmp(66, 0, b""), Reason.UNSUPPORTED),
    "odd masks": (bmp(32, 3, WIDE, (0x3FF, 0xFFC00, 0x3FF00000)), Reason.UNSUPPORTED),
    "header of 16 bytes": (b"BM" + bytes(12) + b"\x10" + bytes(99), Reason.UNSUPPORTED),
    "cut": (bmp(24, 0, WIDE)[:-20], Reason.TRUNCATED),
    "GIF that ends early": (gif(INDICES, codes=[16, 1, 2, 17]), Reason.TRUNCATED),
    "GIF without pixels": (gif(INDICES, codes=[]), Reason.TRUNCATED),
    "GIF of an unknown code": (gif(INDICES, codes=[16, 31, 31, 31]), Reason.CORRUPT),
}


@pytest.mark.parametrize("name", BROKEN)
def test_invalid_files_have_a_reason(name: str) -> None:
    rejected = decode(BROKEN[name][0])
    assert isinstance(rejected, Rejection), rejected
    assert rejected.reason == BROKEN[name][1]
