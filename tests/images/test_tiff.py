import numpy as np
import pytest
from factories import encoded
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.rejections import Reason, Rejection

WIDE, TALL, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, ROWS, COUNTS, FORMAT = 256, 257, 258, 259, 262, 273, 278, 279, 339


def tiff(pixels: bytes, width: int, bits: int, *, photometric: int = 1, format: int = 1) -> bytes:
    """One row of grey levels, stored as they are."""
    tags = ImageFileDirectory_v2(prefix=b"II")
    values = {WIDE: width, TALL: 1, BITS: bits, COMPRESSION: 1, PHOTOMETRIC: photometric}
    for tag, value in (values | {OFFSETS: 0, ROWS: 1, COUNTS: len(pixels), FORMAT: format}).items():
        tags[tag] = value
    return b"II*\0\x08\0\0\0" + tags.tobytes(8) + pixels  # the offset counts from the end of the tags


def decode(data: bytes) -> Decoded | Rejection:
    return decode_image(data, max_pixels=10**6, background=(0, 0, 0), tiff=True)


def grey(data: bytes) -> list[int]:
    decoded = decode(data)
    assert isinstance(decoded, Decoded), decoded
    return decoded.pixels[0, :, 0].tolist()


def test_white_is_the_largest_level() -> None:
    assert grey(tiff(bytes.fromhex("fff000"), 2, 12)) == [255, 0]
    assert grey(tiff(np.array([65535, 0, 257 * 9], "<u2").tobytes(), 3, 16)) == [255, 0, 9]


def test_white_may_be_zero() -> None:
    assert grey(tiff(np.array([65535, 0, 257 * 9], "<u2").tobytes(), 3, 16, photometric=0)) == [0, 255, 246]


@pytest.mark.parametrize(("bits", "format"), [(32, 1), (32, 2), (32, 3), (16, 2)])
def test_samples_without_a_defined_white_are_rejected(bits: int, format: int) -> None:
    rejected = decode(tiff(np.ones(2, f"<u{bits // 8}").tobytes(), 2, bits, format=format))
    assert isinstance(rejected, Rejection)
    assert rejected.reason == Reason.UNSUPPORTED


def test_big_endian_and_colour_of_sixteen_bits() -> None:
    image = Image.fromarray(np.array([[65535, 257]], ">u2"))
    assert grey(encoded(image, "TIFF")) == [255, 1]
