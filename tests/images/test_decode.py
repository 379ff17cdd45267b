import io
import sys
from pathlib import Path

import numpy as np
import pytest
from decoding import decode, pixels, reason
from factories import encoded, make_image
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.paths import read_inside
from goodbad_pipeline.images.rejections import Reason, Rejection

WHITE = (255, 255, 255)


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "JPEG", "WEBP", "TIFF"])
def test_allowed_formats_decode_to_rgb(format: str) -> None:
    image = Image.new("RGB", (7, 5), (200, 30, 60))
    decoded = decode(encoded(image, format))
    assert isinstance(decoded, Decoded)
    assert decoded.format == format
    assert decoded.pixels.shape == (5, 7, 3)
    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_allclose(decoded.pixels[2, 3], [200, 30, 60], atol=8)


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (20, 10), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90° clockwise
    upright = pixels(encoded(image, "JPEG", exif=exif, quality=95))
    assert upright.shape == (20, 10, 3)
    assert upright[:9].mean() > 240
    assert upright[11:].mean() < 15


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    levels = np.array([[0, 257 * 100, 65535]], np.uint16)
    grey = pixels(encoded(Image.fromarray(levels)))
    np.testing.assert_array_equal(grey[0, :, 0], [0, 100, 255])


def test_transparent_pixels_show_the_background() -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    np.testing.assert_array_equal(pixels(encoded(image), background=(9, 99, 199))[0, 0], [9, 99, 199])


def test_palette_transparency_and_grey_alpha_show_the_background() -> None:
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    np.testing.assert_array_equal(pixels(encoded(palette, transparency=0))[0, 0], WHITE)
    np.testing.assert_array_equal(pixels(encoded(Image.new("LA", (2, 2), (0, 0))))[0, 0], WHITE)


def test_cmyk_becomes_rgb() -> None:
    np.testing.assert_allclose(pixels(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))[0, 0], WHITE, atol=3)


def test_an_animation_is_decoded_to_its_first_frame() -> None:
    first, second = Image.new("RGB", (3, 3), (255, 0, 0)), Image.new("RGB", (3, 3), (0, 0, 255))
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(pixels(data)[0, 0], [255, 0, 0])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Reason.EMPTY),
        (b"no image at all, only words", Reason.NOT_AN_IMAGE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Reason.NOT_AN_IMAGE),
    ],
)
def test_content_that_is_not_an_image(data: bytes, expected: Reason) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_truncated_file_is_detected_at_every_length(format: str) -> None:
    data = encoded(make_image(1, bright=True, side=64), format)
    for share in (0.3, 0.6, 0.9):
        assert reason(data[: int(len(data) * share)]) in (Reason.TRUNCATED, Reason.CORRUPT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_in_every_format(orientation: int, format: str) -> None:
    image = make_image(1, bright=True).crop((0, 0, 40, 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(pixels(data), upright)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"keep_rgb": True}, {"quality": 5}]
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_strict_decoder_returns_the_pixels_of_pillow(mode: str, options: dict) -> None:
    data = encoded(make_image(2, bright=True, side=51).convert(mode), "JPEG", **options)
    np.testing.assert_array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_damage_in_a_jpeg_that_pillow_ignores_is_detected() -> None:
    data = encoded(make_image(3, bright=True, side=200), "JPEG", quality=90)
    middle = len(data) // 2
    damaged = data[:middle] + bytes(64) + data[middle + 64 :]
    Image.open(io.BytesIO(damaged)).load()
    assert reason(damaged) == Reason.CORRUPT
    assert reason(data[:-2]) == Reason.TRUNCATED


def test_damage_in_a_png_that_pillow_ignores_is_detected() -> None:
    data = bytearray(encoded(make_image(3, bright=True)))
    data[data.index(b"IEND") - 5] ^= 1  # the checksum of the chunk before
    Image.open(io.BytesIO(data)).load()
    assert reason(bytes(data)) == Reason.CORRUPT


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "TIFF"])
def test_several_frames_are_recorded(format: str) -> None:
    first, second = Image.new("RGB", (3, 3), (255, 0, 0)), Image.new("RGB", (3, 3), (0, 0, 255))
    assert decode(encoded(first, format, save_all=True, append_images=[second])).animated
    assert not decode(encoded(first, format)).animated


def test_a_multi_image_jpeg_is_decoded_to_its_first() -> None:
    first, second = make_image(1, bright=True), make_image(2, bright=False)
    decoded = decode(encoded(first, "MPO", save_all=True, append_images=[second], quality=95))
    assert (decoded.format, decoded.animated) == ("MPO", True)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(first)).mean() < 20


def test_tiff_is_optional() -> None:
    data = encoded(make_image(1, bright=True), "TIFF")
    assert reason(data, tiff=False) == Reason.UNSUPPORTED
    assert isinstance(decode(data, tiff=True), Decoded)


def test_a_transparent_level_of_sixteen_bits_shows_the_background() -> None:
    levels = Image.fromarray(np.array([[514, 65535]], np.uint16))
    grey = pixels(encoded(levels, transparency=514), background=(9, 99, 199))
    np.testing.assert_array_equal(grey[0], [[9, 99, 199], [255, 255, 255]])


def test_details_are_one_printable_line() -> None:
    data = bytearray(encoded(make_image(1, bright=True)))
    data[37:41] = b"\nI\x1b\0"
    assert decode(bytes(data)).detail.isprintable()


def test_details_are_words_without_names_of_exceptions() -> None:
    whole = encoded(make_image(1, bright=True), "JPEG")
    for data in (whole[:4], whole[:-40], encoded(make_image(1, bright=True))[:60]):
        rejected = decode(data)
        assert rejected.reason == Reason.TRUNCATED
        assert "Error" not in rejected.detail
    assert decode(whole[:4]).detail == "the header states no image size"


def test_size_is_checked_before_pixels_are_decoded() -> None:
    data = encoded(Image.new("1", (3000, 3000)))
    assert reason(data, max_pixels=8_999_999) == Reason.TOO_MANY_PIXELS
    assert isinstance(decode(data, max_pixels=9_000_000), Decoded)


def test_a_decompression_bomb_is_not_decoded() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    assert reason(bomb) == Reason.TOO_MANY_PIXELS


@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]))
def test_random_bytes_never_raise(noise: bytes, position: int, format: str) -> None:
    data = bytearray(encoded(Image.new("RGB", (9, 9), (1, 2, 3)), format))
    data[position : position + len(noise)] = noise
    result = decode(bytes(data))
    assert isinstance(result, Rejection) or result.pixels.ndim == 3


def test_the_content_decides_the_format() -> None:
    stream = io.BytesIO(encoded(Image.new("RGB", (2, 2)), "GIF"))
    decoded = decode(stream.getvalue())
    assert isinstance(decoded, Decoded)
    assert decoded.format == "GIF"


def test_portable_maps_are_decoded() -> None:
    levels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    grey = (np.arange(4).reshape(2, 2) * 300).astype(">u2")
    for data, expected in (
        (b"P6\n# a comment\n2 2\n255\n" + levels.tobytes(), levels),
        (b"P5 2 2 1023\n" + grey.tobytes(), (grey / 1023 * 255).round()[..., None].repeat(3, 2)),
        (b"P1\n2 2\n1 0\n0 1\n", np.array([[0, 255], [255, 0]])[..., None].repeat(3, 2)),
    ):
        found = decode_image(data, max_pixels=9, background=(0, 0, 0))
        assert isinstance(found, Decoded)
        assert found.pixels.tolist() == expected.tolist()
    assert reject(b"P6\n2 2\n255\n" + levels.tobytes()[:-1]).reason == "truncated"
    assert reject(b"P6\n9999 9999\n255\n").reason == "too_many_pixels"


@pytest.mark.parametrize(("kind", "orientation"), [("AVIF", 1), ("AVIF", 6), ("HEIF", 1)])
def test_pictures_of_phones_are_decoded_upright(kind: str, orientation: int) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(Image.fromarray(pixels), kind, quality=100, exif=exif)
    found = decode_image(data, max_pixels=10**4, background=(0, 0, 0))
    assert isinstance(found, Decoded)
    turned = pixels if orientation == 1 else np.rot90(pixels, -1)
    assert np.abs(found.pixels.astype(int) - turned).mean() < 5
    assert reject(data, max_pixels=64 * 31).reason == "too_many_pixels"
    assert reject(data[: len(data) // 2]).reason in ("truncated", "corrupt")


def test_heic_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    found = reject(b"\0\0\0\x18ftypheic" + bytes(40))
    assert (found.reason, "(pip install pillow-heif)" in found.detail) == ("unsupported", True)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\xff\x0a\x00", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"<svg xmlns=", "SVG"),
        (b'\n<?xml version="1.0"?><svg>', "SVG"),
        (b"%PDF-1.7", "PDF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"<!DOCTYPE HTML><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"PK\x03\x04", "a ZIP archive"),
    ],
)
def test_other_content_is_named(tmp_path: Path, data: bytes, name: str) -> None:
    found = reject(data)
    assert (found.reason, f"content is {name}" in found.detail or name in found.detail) == ("not_an_image", True)
    (tmp_path / "1.png").write_bytes(data)
    assert read_inside(tmp_path, "1.png").content.detail == found.detail


def reject(data: bytes, max_pixels: int = 10**4) -> Rejection:
    found = decode_image(data, max_pixels=max_pixels, background=(0, 0, 0))
    assert isinstance(found, Rejection)
    return found
