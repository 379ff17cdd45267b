import io
import struct

import numpy as np
import pytest
import simplejpeg
from decoding import decode, pixels, reason
from factories import encoded, make_image
from PIL import Image

from goodbad_pipeline.images.decode import Decoded
from goodbad_pipeline.images.formats import CutOffError
from goodbad_pipeline.images.jpeg import check_scans
from goodbad_pipeline.images.rejections import Reason

PHOTO = make_image(3, bright=True, side=120).resize((200, 200), Image.Resampling.BICUBIC)
SAMPLINGS = {across << 4 | down for across in range(1, 5) for down in range(1, 5)}


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def with_sampling(data: bytes, sampling: int) -> bytes:
    """Set the sampling of the first channel."""
    place = data.index(b"\xff\xc0") + 11
    return data[:place] + bytes([sampling]) + data[place + 1 :]


def sampled(across: int, down: int) -> bytes:
    """A sound grey-blue image whose first colour has ``across`` × ``down`` blocks to one of the others.

    Made of a JPEG whose three colours have one block each a unit: every block of it is the same, so is its data.
    """
    flat = Image.new("RGB", (8 * across, 8 * down), (128, 128, 128))
    one = encoded(flat.resize((8, 8)), "JPEG", subsampling=0)
    start = one.index(b"\xff\xda")
    frame = one.index(b"\xff\xc0")
    size = struct.pack(">HH", 8 * down, 8 * across)
    header = one[: frame + 5] + size + one[frame + 9 : start]
    bits = "00" + "1010"  # a difference of no bits, end of block: the first luminance code, and the standard's end
    data = int(((across * down * bits) + 2 * "0000").ljust(-(-(across * down * 6 + 8) // 8) * 8, "1"), 2)
    length = -(-(across * down * 6 + 8) // 8)
    return with_sampling(header + one[start : start + 14] + data.to_bytes(length) + b"\xff\xd9", across << 4 | down)


@pytest.mark.parametrize("sampling", sorted(SAMPLINGS - {0x22}))
def test_a_wrong_sampling_is_detected(sampling: int) -> None:
    data = with_sampling(encoded(PHOTO, "JPEG", subsampling=2), sampling)
    assert reason(data) in (Reason.CORRUPT, Reason.TRUNCATED)


@pytest.mark.parametrize("sampling", sorted(s for s in SAMPLINGS if (s >> 4) * (s & 15) <= 8))
def test_every_sampling_is_decoded(sampling: int) -> None:
    data = sampled(sampling >> 4, sampling & 15)
    shown = pixels(data)
    assert shown.shape == (8 * (sampling & 15), 8 * (sampling >> 4), 3)
    np.testing.assert_array_equal(shown, pillow(data))


@pytest.mark.parametrize("sampling", [1, 2])
def test_cmyk_with_rare_sampling_is_decoded_and_its_damage_detected(sampling: int) -> None:
    data = encoded(PHOTO.convert("CMYK"), "JPEG", subsampling=sampling, quality=90)
    np.testing.assert_array_equal(pixels(data), pillow(data))
    middle = len(data) // 2
    assert reason(data[:middle] + data[middle + 99 :]) == Reason.CORRUPT
    assert reason(data[:middle]) == Reason.TRUNCATED


def test_rare_sampling_with_several_scans_is_unsupported() -> None:
    data = encoded(PHOTO.convert("CMYK"), "JPEG", subsampling=2, progressive=True)
    assert reason(data) == Reason.UNSUPPORTED


def test_bytes_after_the_image_are_ignored() -> None:
    """As in a motion photo, which ends with a video."""
    data = encoded(PHOTO, "JPEG")
    tail = np.random.default_rng(0).bytes(4_000_000) + b"\xff\xda" * 600
    np.testing.assert_array_equal(pixels(data + tail), pixels(data))


def test_broken_metadata_are_ignored() -> None:
    data = encoded(PHOTO, "JPEG")
    for remark in (b"\xff\xe1\0\4\xff\xd9", b"\xff\xe1\0\2", b"\xff\xed\0\7Photo", b"\xff\xe2\0\5ICC", b"\xff\xfe\0\2"):
        np.testing.assert_array_equal(pixels(data[:2] + remark + data[2:]), pixels(data))
    odd_version = data.replace(b"JFIF\0\1\1", b"JFIF\0\7\7")
    np.testing.assert_array_equal(pixels(odd_version), pixels(data))


def test_orientation_is_read_if_other_metadata_are_broken() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(PHOTO, "JPEG", exif=exif)
    broken = data[:2] + b"\xff\xed\0\2" + b"\xff\xe2\0\x10MPF\0" + bytes(10) + data[2:]
    np.testing.assert_array_equal(pixels(broken), np.rot90(pixels(encoded(PHOTO, "JPEG")), -1))


def with_scans(count: int, side: int) -> bytes:
    data = encoded(make_image(3, bright=True).resize((side, side)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def test_the_number_of_scans_is_limited_by_their_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(with_scans(600, 40)) == Reason.UNSUPPORTED
    with monkeypatch.context() as decoders:
        decoders.setattr(simplejpeg, "decode_jpeg", None)  # it would take seconds
        assert reason(with_scans(60, 2400)) == Reason.UNSUPPORTED
    assert isinstance(decode(encoded(PHOTO, "JPEG", progressive=True)), Decoded)
    cmyk = encoded(PHOTO.convert("CMYK"), "JPEG", progressive=True)
    assert isinstance(decode(cmyk), Decoded)


def frame(data: bytes, kind: int | None = None, depth: int | None = None, height: int | None = None) -> bytes:
    changed, place = bytearray(data), data.index(b"\xff\xc0")
    if kind is not None:
        changed[place + 1] = kind
    if depth is not None:
        changed[place + 4] = depth
    if height is not None:
        changed[place + 5 : place + 7] = height.to_bytes(2)
    return bytes(changed)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"depth": 12}, Reason.UNSUPPORTED),
        ({"height": 0}, Reason.UNSUPPORTED),
        ({"kind": 0xC5}, Reason.UNSUPPORTED),
        ({"kind": 0xCB}, Reason.UNSUPPORTED),
        ({"kind": 0xE5}, Reason.CORRUPT),
        ({"height": 300}, Reason.CORRUPT),
        ({"height": 100}, Reason.CORRUPT),
    ],
)
def test_frames(changes: dict[str, int], expected: Reason) -> None:
    assert reason(frame(encoded(PHOTO, "JPEG"), **changes)) == expected


def test_only_a_file_without_its_end_is_truncated() -> None:
    data = encoded(PHOTO, "JPEG")
    middle = len(data) // 2
    assert reason(data[:2]) == Reason.NOT_AN_IMAGE
    assert all(reason(data[:length]) == Reason.TRUNCATED for length in (4, 30, 300, middle, len(data) - 1))
    assert reason(data[:middle] + b"\xff\xd9") == Reason.CORRUPT
    assert reason(data[:middle] + data) == Reason.CORRUPT


def without_scans(data: bytes, kept: int) -> bytes:
    """The first scans alone, ended as a whole file is."""
    starts = [place for place in range(len(data)) if data.startswith(b"\xff\xda", place)]
    return data[: starts[kept]] + b"\xff\xd9"


@pytest.mark.parametrize(("mode", "sampling"), [("RGB", 0), ("RGB", 1), ("RGB", 2), ("L", -1), ("CMYK", 0)])
def test_a_progressive_image_needs_all_of_its_scans(mode: str, sampling: int) -> None:
    whole = encoded(PHOTO.convert(mode), "JPEG", progressive=True, subsampling=sampling)
    scans = whole.count(b"\xff\xda")
    assert scans >= 6
    np.testing.assert_array_equal(pixels(whole).shape, (200, 200, 3))
    for kept in range(1, scans):
        assert reason(without_scans(whole, kept)) == Reason.TRUNCATED


FRAME = bytes.fromhex("ffc2 0011 08 0008 0008 03 01 1100 02 1100 03 1100")


def scan(names: str, first: int, last: int, high: int, low: int) -> bytes:
    parts = b"".join(bytes([int(name), 0]) for name in names)
    length = struct.pack(">HB", 6 + len(parts), len(names))
    return b"\xff\xda" + length + parts + bytes([first, last, high << 4 | low])


def test_frequency_bands_may_be_split_into_any_scans() -> None:
    pieces = ((1, 5, 0, 0), (6, 63, 0, 2), (6, 63, 2, 1), (6, 63, 1, 0))
    bands = [scan(name, *piece) for name in "123" for piece in pieces]
    scans = [scan("12", 0, 0, 0, 1), scan("3", 0, 0, 0, 0), scan("12", 0, 0, 1, 0), *bands]
    check_scans(FRAME, scans)
    check_scans(FRAME, [scan("123", 0, 0, 0, 0), *(scan(name, 1, 63, 0, 0) for name in "123")])
    for number in (1, 2, 3, 6, len(scans) - 1):
        with pytest.raises(CutOffError):
            check_scans(FRAME, [*scans[:number], *scans[number + 1 :]])
    with pytest.raises(ValueError, match="too short"):
        check_scans(FRAME, [scans[0][:-1]])
