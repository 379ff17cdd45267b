import io
import struct
import zlib
from functools import partial

import decoding
import numpy as np
import pytest
from decoding import decode, reason
from factories import encoded, make_image
from odd_images import DEPTHS, chunk, png, png_cases, png_rows
from PIL import Image

from goodbad_pipeline.images.decode import Decoded
from goodbad_pipeline.images.rejections import Reason

BACKGROUND = (9, 99, 199)
pixels = partial(decoding.pixels, background=BACKGROUND)
GREY = np.arange(200).reshape(10, 20, 1)


def test_every_kind_decodes_to_its_samples() -> None:
    for name, data, shown in png_cases(BACKGROUND):
        assert np.abs(pixels(data) - shown).max() <= 2, name  # alpha and level are rounded, and so is what they make


def test_sixteen_bits_are_rounded_in_colour_as_in_grey() -> None:
    level = np.full((1, 1, 3), 0x12FF)
    assert pixels(png(level[..., :1], 0, 16)).tolist() == pixels(png(level, 2, 16)).tolist() == [[[19, 19, 19]]]


def test_a_transparent_colour_of_sixteen_bits_is_compared_exactly() -> None:
    levels = np.array([[[0x1234, 0, 0], [0x1235, 0, 0]]])
    shown = pixels(png(levels, 2, 16, chunk(b"tRNS", bytes.fromhex("123400000000"))))
    assert shown.tolist() == [[[9, 99, 199], [18, 0, 0]]]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("rows", [0, 4, 9, 9.5])
def test_pixel_data_that_end_before_the_last_row(rows: float, interlaced: bool) -> None:
    whole = png_rows(GREY, 8, interlaced)
    short = png(GREY, 0, 8, interlaced=interlaced, stream=zlib.compress(whole[: int(len(whole) * rows / 10)]))
    if (rows, interlaced) == (4, False):
        Image.open(io.BytesIO(short)).load()  # Pillow takes it
    assert reason(short) == Reason.TRUNCATED


def test_data_after_the_last_row_and_a_black_last_row_are_valid() -> None:
    samples = GREY.copy()
    samples[-1] = 0
    more = png(samples, 0, 8, stream=zlib.compress(png_rows(samples, 8) + bytes(10**6)))
    np.testing.assert_array_equal(pixels(more), np.repeat(samples, 3, axis=2))


def test_pixel_data_in_many_chunks() -> None:
    whole = encoded(make_image(1, bright=True))
    stream = zlib.compress(png_rows(GREY, 8))
    parts = b"".join(chunk(b"IDAT", stream[place : place + 1]) for place in range(len(stream)))
    data = png(GREY, 0, 8, stream=b"").replace(chunk(b"IDAT", b""), parts)
    np.testing.assert_array_equal(pixels(data)[..., :1], GREY)
    assert isinstance(decode(whole), Decoded)


@pytest.mark.parametrize(
    "remark",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"iCCP", b"x\0\0nonsense"),
        chunk(b"iTXt", b"a"),
        *(chunk(kind, b"\1") for kind in (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"eXIf", b"acTL", b"fcTL")),
    ],
)
def test_broken_metadata_do_not_reject_the_image(remark: bytes) -> None:
    np.testing.assert_array_equal(pixels(png(GREY, 0, 8, remark))[..., :1], GREY)


def test_orientation_is_read_from_any_of_three_chunks() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes(8)[6:]
    profile = b"\nexif\n%8d\n" % len(data) + data.hex().encode()
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0<rdf tiff:Orientation='6'/>".replace(b"'", b'"')
    turned = np.rot90(GREY[..., 0], -1)
    for remark in (
        chunk(b"eXIf", data),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        chunk(b"iTXt", xmp),
    ):
        np.testing.assert_array_equal(pixels(png(GREY, 0, 8, remark))[..., 0], turned)


def test_colours_beyond_the_palette_are_black() -> None:
    assert pixels(png(np.array([[[0], [7]]]), 3, 8, chunk(b"PLTE", b"\1\2\3"))).tolist() == [[[1, 2, 3], [0, 0, 0]]]


def test_other_pairs_of_depth_and_colour_are_rejected() -> None:
    pairs = {(depth, colour) for depth in range(18) for colour in range(8)}
    for depth, colour in pairs - {(depth, colour) for colour, depths in DEPTHS.items() for depth in depths}:
        header = struct.pack(">IIBBBBB", 1, 1, depth, colour, 0, 0, 0)
        stream = chunk(b"IDAT", zlib.compress(bytes(99)))
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", b"abc") + stream + chunk(b"IEND", b"")
        assert reason(data) == Reason.CORRUPT


def broken() -> dict[str, tuple[bytes, Reason]]:
    good = png(GREY, 0, 8)
    header, palette = good[8:33], chunk(b"PLTE", b"abc")
    return {
        "signature in 7 bits": (b"\x89PNG\r\n\x1a\n".replace(b"\x1a", b" ") + good[8:], Reason.CORRUPT),
        "line feeds": (good.replace(b"\r\n", b"\n"), Reason.CORRUPT),
        "no palette": (png(GREY, 3, 8), Reason.CORRUPT),
        "half a colour": (png(GREY, 3, 8, palette + b"").replace(palette, chunk(b"PLTE", b"ab")), Reason.CORRUPT),
        "257 colours": (png(GREY, 3, 8, chunk(b"PLTE", bytes(771))), Reason.CORRUPT),
        "no pixels": (good[:33] + chunk(b"IEND", b""), Reason.CORRUPT),
        "two headers": (png(GREY, 0, 8, header), Reason.CORRUPT),
        "header second": (good[:8] + palette + good[8:], Reason.CORRUPT),
        "interlace 2": (good.replace(header, chunk(b"IHDR", header[8:20] + b"\2")), Reason.CORRUPT),
        "compression 1": (good.replace(header, chunk(b"IHDR", header[8:18] + b"\1\0\0")), Reason.CORRUPT),
        "no zlib": (png(GREY, 0, 8, stream=b"words"), Reason.CORRUPT),
        "unknown and critical": (png(GREY, 0, 8, chunk(b"CgBI", b"")), Reason.UNSUPPORTED),
        "a length beyond the end": (good[:33] + b"\0\1" + good[35:], Reason.CORRUPT),
        "cut": (good[:-20], Reason.TRUNCATED),
        "cut in its header": (good[:20], Reason.TRUNCATED),
        "no end": (good[:-12], Reason.TRUNCATED),
        "pixels apart": (
            png(GREY, 0, 8, stream=b"").replace(
                chunk(b"IDAT", b""),
                chunk(b"IDAT", zlib.compress(png_rows(GREY, 8))[:20]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", b"x"),
            ),
            Reason.TRUNCATED,
        ),
    }


@pytest.mark.parametrize("name", broken())
def test_invalid_files_have_a_reason(name: str) -> None:
    data, expected = broken()[name]
    assert reason(data) == expected
