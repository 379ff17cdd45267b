import io
import struct
from dataclasses import asdict, replace

import numpy as np
import pytest
from corrupt_files import mutate
from factories import encoded, make_image, parameters
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.pixels import MIN_REDUCTION, Transform, load_image, transform_image
from goodbad_pipeline.images.rejections import Rejection
from goodbad_pipeline.params import ImageParams, validate_parameters

WHOLE = Transform(16, "pad", (255, 255, 255), 10**6)
SHRUNK = replace(WHOLE, shrink_on_load=True)


def photo(width: int, height: int) -> Image.Image:
    return make_image(3, bright=True, side=max(width, height)).resize((width, height), Image.Resampling.BICUBIC)


def one_byte_changed(data: bytes, seed: int) -> bytes:
    """Change the data of its pixels."""
    rng = np.random.default_rng(seed)
    place = rng.integers(data.index(b"\xff\xda") + 14, len(data) - 2)
    return data[:place] + bytes([data[place] ^ rng.integers(1, 256)]) + data[place + 1 :]


def lossless(width: int, height: int) -> bytes:
    """A grey image by JPEG's lossless process: every level is the one that is expected, a bit of 0 says."""
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    table = b"\xff\xc4" + struct.pack(">HB16B", 20, 0, 1, *[0] * 15) + b"\0"
    scan = b"\xff\xda" + struct.pack(">HB", 12, 3) + b"\1\0\2\0\3\0" + b"\1\0\0"
    return b"\xff\xd8" + frame + table + scan + bytes(3 * width * height // 8) + b"\xff\xd9"


def shrunk(data: bytes, factor: int) -> Decoded | Rejection:
    return decode_image(data, max_pixels=10**6, background=(9, 9, 9), shrink=lambda *_: factor)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
def test_a_jpeg_is_decoded_smaller_to_the_same_pixels_as_pillow(factor: int, options: dict) -> None:
    data = encoded(photo(203, 121), "JPEG", **options)
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (203 // factor, 121 // factor))
        expected = np.asarray(image.convert("RGB"))
    found = shrunk(data, factor)
    assert isinstance(found, Decoded)
    assert found.pixels.shape == (-(-121 // factor), -(-203 // factor), 3)
    np.testing.assert_array_equal(found.pixels, expected)


def test_files_that_cannot_be_reduced_are_decoded_at_full_size() -> None:
    ways = [encoded(photo(80, 60), "PNG"), encoded(photo(80, 60).convert("CMYK"), "JPEG"), lossless(320, 240)]
    for data in ways:
        found, whole = shrunk(data, 4), shrunk(data, 1)
        assert isinstance(found, Decoded)
        assert isinstance(whole, Decoded)
        np.testing.assert_array_equal(found.pixels, whole.pixels)


def test_orientation_is_applied_after_reduction() -> None:
    exif = Image.Exif()
    exif[274] = 6
    found = shrunk(encoded(photo(160, 80), "JPEG", exif=exif), 2)
    assert isinstance(found, Decoded)
    assert found.pixels.shape == (80, 40, 3)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_same_damaged_files_are_rejected(factor: int) -> None:
    sources = [encoded(photo(96, 96), "JPEG", **options) for options in ({}, {"progressive": True})]
    damaged = [mutate(sources[seed % 2], seed) for seed in range(200)]
    damaged += [one_byte_changed(sources[seed % 2], seed) for seed in range(200)]
    answers = [[shrunk(data, by) for data in damaged] for by in (1, factor)]
    reasons = [[one.reason if isinstance(one, Rejection) else None for one in found] for found in answers]
    assert reasons[0] == reasons[1]
    assert 100 < reasons[0].count(None) < 300


@given(
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    resolution=st.integers(1, 600),
    resize=st.sampled_from(["pad", "crop", "stretch"]),
)
def test_at_least_twice_the_needed_pixels_are_kept(width: int, height: int, resolution: int, resize: str) -> None:
    factor = Transform(resolution, resize, (0, 0, 0), 1, shrink_on_load=True).factor(width, height)
    scale = (max if resize == "pad" else min)(width, height) / resolution  # by which the square is smaller
    assert factor in (1, 2, 4, 8)
    assert (width % factor, height % factor) == (0, 0)
    assert factor == 1 or scale / factor >= MIN_REDUCTION
    larger = [more for more in (2, 4, 8) if more > factor and width % more == height % more == 0]
    assert all(scale / more < MIN_REDUCTION for more in larger)
    assert Transform(resolution, resize, (0, 0, 0), 1).factor(width, height) == 1


@pytest.mark.parametrize("size", [(640, 480), (642, 482), (1032, 520)])
def test_a_reduced_photo_hardly_differs(size: tuple[int, int]) -> None:
    data = encoded(photo(*size), "JPEG", quality=90)
    whole, quick = (transform_image(data, replace(one, resolution=64)).astype(int) for one in (WHOLE, SHRUNK))
    assert 0 < np.abs(whole - quick).mean() < 1


def test_the_parameter_decides_and_older_models_do_not_shrink() -> None:
    images = validate_parameters(parameters())["images"]
    assert isinstance(images, ImageParams)
    assert images.transform(64).shrink_on_load
    assert not images.model_copy(update={"shrink_on_load": False}).transform(64).shrink_on_load
    recorded_before = {name: value for name, value in images.model_dump().items() if name != "shrink_on_load"}
    assert not ImageParams.model_validate(recorded_before).transform(64).shrink_on_load
    known = {name: value for name, value in asdict(WHOLE).items() if name != "shrink_on_load"}
    assert Transform(**known) == WHOLE
    data = encoded(photo(200, 200), "JPEG")
    assert not np.array_equal(load_image(data, SHRUNK), load_image(data, WHOLE))
