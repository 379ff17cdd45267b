import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import encoded, make_image
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import paths, pixel_store, pixels
from goodbad_pipeline.images.pixel_store import PixelStore, open_pixels
from goodbad_pipeline.images.pixels import PixelSource, StreamedPixels, Transform, transform_image

TRANSFORM = Transform(8, "pad", (0, 0, 0), 10**6)
ROW = 8 * 8 * 3


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    root = tmp_path_factory.mktemp("raw")
    found = {}
    for number in range(12):
        data = encoded(make_image(number, bright=bool(number % 2)))
        (root / f"{number}.png").write_bytes(data)
        found[hashlib.sha256(data).hexdigest()] = (root / f"{number}.png", data)
    return found


def source(raw: dict, chosen: range = range(12), transform: Transform = TRANSFORM, **options: object) -> PixelSource:
    ids = [list(raw)[number] for number in chosen]
    root = next(iter(raw.values()))[0].parent
    return PixelSource(root, ids, [raw[one][0].name for one in ids], transform, **options)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every file that is decoded, in order."""
    seen: list[bytes] = []

    def counting(data: bytes, transform: Transform) -> np.ndarray:
        seen.append(data)
        return transform_image(data, transform)

    monkeypatch.setattr(pixels, "transform_image", counting)
    return seen


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("budget", [None, 0])
def test_stored_and_streamed_pixels_equal_those_of_serving(raw: dict, tmp_path: Path, resize: str, budget) -> None:
    transform = Transform(9, resize, (1, 2, 3), 10**6)
    given = open_pixels(tmp_path, source(raw, transform=transform, budget=budget))
    assert isinstance(given.array, StreamedPixels if budget == 0 else np.memmap)
    rows = given.rows(list(raw))
    expected = np.stack([transform_image(data, transform) for _, data in raw.values()])
    np.testing.assert_array_equal(given.array[rows], expected)
    np.testing.assert_array_equal(given.array[rows[:4].reshape(2, 2)], expected[:4].reshape(2, 2, 9, 9, 3))
    np.testing.assert_array_equal(given.array[2:5], expected[2:5])
    np.testing.assert_array_equal(given.array[3], expected[3])
    assert given.array[rows[:0]].shape == (0, 9, 9, 3)
    assert (len(given.array), given.array.ndim, given.array.dtype) == (12, 4, np.uint8)
    assert list(tmp_path.rglob("pixels.bin")) == [] if budget == 0 else [store_of(tmp_path, transform)]


def store_of(folder: Path, transform: Transform = TRANSFORM) -> Path:
    return PixelStore(folder, transform).folder / "pixels.bin"


def test_only_new_images_are_decoded(raw: dict, tmp_path: Path, decoded: list[bytes]) -> None:
    open_pixels(tmp_path, source(raw, range(5)))
    assert len(decoded) == 5
    again = open_pixels(tmp_path, source(raw, range(5)))
    assert len(decoded) == 5
    more = open_pixels(tmp_path, source(raw, range(2, 9)))
    assert sorted(decoded[5:]) == sorted(data for _, data in list(raw.values())[5:9])  # threads: in any order
    np.testing.assert_array_equal(again.array[:], more.array[:5])  # what was mapped before stays as it was
    open_pixels(tmp_path, source(raw, range(5), replace(TRANSFORM, max_pixels=10**7)))
    assert len(decoded) == 9  # a limit changes no pixel
    for changed in ({"resize": "crop"}, {"background": (9, 9, 9)}, {"resolution": 7}, {"shrink_on_load": True}):
        before = len(decoded)
        open_pixels(tmp_path, source(raw, range(5), replace(TRANSFORM, **changed)))
        assert len(decoded) == before + 5


@given(st.integers(0, 12 * ROW), st.integers(0, 12 * 64))
@settings(max_examples=25)
def test_an_interrupted_store_continues_after_its_last_complete_row(
    raw: dict, tmp_path_factory, cut: int, ids: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    open_pixels(folder, source(raw))
    store = PixelStore(folder, TRANSFORM)
    whole = store.pixels().array[:].copy()
    for name, size in (("pixels.bin", cut), ("image_ids.bin", ids)):
        with (store.folder / name).open("r+b") as file:
            file.truncate(size)
    mended = open_pixels(folder, source(raw))
    np.testing.assert_array_equal(mended.array[mended.rows(list(raw))], whole)
    assert len(mended.array) == 12


def test_a_failure_keeps_what_was_decoded_before(raw: dict, tmp_path: Path, monkeypatch, decoded: list[bytes]) -> None:
    monkeypatch.setattr(pixels, "BLOCK", 2)
    monkeypatch.setattr(pixel_store, "COMMIT", 2)
    root = tmp_path / "raw"
    shutil.copytree(source(raw).root, root)
    (root / "9.png").unlink()
    images = replace(source(raw), root=root)
    with pytest.raises(InputError, match=r"9\.png: can no longer be read"):
        open_pixels(tmp_path / "cache", images)
    assert len(PixelStore(tmp_path / "cache", TRANSFORM)) == 8
    (root / "9.png").write_bytes(list(raw.values())[9][1])
    decoded.clear()
    assert len(open_pixels(tmp_path / "cache", images).array) == 12
    assert len(decoded) == 4


def test_the_budget_covers_all_transforms_together(raw: dict, tmp_path: Path) -> None:
    budget = 20 * ROW
    first, second = TRANSFORM, replace(TRANSFORM, resize="crop")
    open_pixels(tmp_path, source(raw, range(10), first, budget=budget))
    open_pixels(tmp_path, source(raw, range(10), second, budget=budget))
    assert store_of(tmp_path, first).exists()
    open_pixels(tmp_path, source(raw, range(12), second, budget=budget))
    assert not store_of(tmp_path, first).exists()
    assert store_of(tmp_path, second).stat().st_size == 12 * ROW


def test_images_that_no_longer_exist_are_deleted_first(raw: dict, tmp_path: Path) -> None:
    open_pixels(tmp_path, source(raw, range(6), budget=8 * ROW))
    given = open_pixels(tmp_path, source(raw, range(6, 12), budget=8 * ROW))
    assert sorted(one.decode() for one in given.image_ids) == sorted(list(raw)[6:])


def test_a_full_disk_streams(raw: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    assert isinstance(open_pixels(tmp_path, source(raw)).array, StreamedPixels)


def test_a_stream_notices_a_changed_file(raw: dict, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    shutil.copytree(source(raw).root, root)
    given = open_pixels(tmp_path / "cache", replace(source(raw, budget=0), root=root))
    assert given.array[3].shape == (8, 8, 3)
    (root / "3.png").write_bytes((root / "4.png").read_bytes())
    with pytest.raises(InputError, match=r"3\.png: changed since ingestion"):
        _ = given.array[3]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is read, in any order."""
    seen: list[str] = []
    content = PixelSource._content
    monkeypatch.setattr(
        PixelSource, "_content", lambda self, index: seen.append(self.paths[index]) or content(self, index)
    )
    return seen


@pytest.fixture
def cached(raw: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[str]) -> PixelSource:
    """Images stored under ``tmp_path``, whose file states are trusted."""
    shutil.copytree(source(raw).root, tmp_path / "raw")
    monkeypatch.setattr(paths, "_TICK", -1)
    images = replace(source(raw), root=(tmp_path / "raw").resolve())
    open_pixels(tmp_path / "cache", images)
    hashed.clear()
    return images


def test_stored_images_whose_files_stayed_are_not_read(cached: PixelSource, tmp_path: Path, hashed) -> None:
    open_pixels(tmp_path / "cache", cached)
    open_pixels(tmp_path / "cache", replace(cached, paths=cached.paths[3:5], image_ids=cached.image_ids[3:5]))
    assert hashed == []


def test_a_stored_image_that_was_changed_or_deleted_is_named(cached: PixelSource, tmp_path: Path) -> None:
    file = cached.root / "3.png"
    before, data = file.stat(), file.read_bytes()
    file.write_bytes(data[:-1] + b"?")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and mtime are unchanged
    with pytest.raises(InputError, match=r"3\.png: changed since ingestion"):
        open_pixels(tmp_path / "cache", cached)
    file.unlink()
    with pytest.raises(InputError, match=r"3\.png: can no longer be read"):
        open_pixels(tmp_path / "cache", cached)
    file.write_bytes(data)
    assert len(open_pixels(tmp_path / "cache", cached).array) == 12


def test_a_file_in_another_state_is_hashed_once_and_not_decoded(
    cached: PixelSource, tmp_path: Path, hashed: list[str], decoded: list[bytes]
) -> None:
    os.utime(cached.root / "3.png")
    (cached.root / "4.png").rename(cached.root / "moved.png")
    moved = replace(cached, paths=["moved.png" if path == "4.png" else path for path in cached.paths])
    for _ in range(2):
        open_pixels(tmp_path / "cache", moved)
    assert (sorted(hashed), decoded) == (["3.png", "moved.png"], [])


def test_files_with_missing_or_recent_states_are_hashed(
    cached: PixelSource, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (states,) = (tmp_path / "cache").rglob("states.npy")
    states.write_bytes(b"")
    open_pixels(tmp_path / "cache", cached)
    assert len(hashed) == 12
    monkeypatch.setattr(paths, "_TICK", 10**18)
    states.unlink()
    for _ in range(2):
        open_pixels(tmp_path / "cache", cached)
    assert len(hashed) == 36


@pytest.mark.parametrize("decoder", ["PIL", "simplejpeg"])
def test_another_decoder_version_has_its_own_store(
    decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform = Transform(16, "pad", (0, 0, 0), 10**6)
    before = PixelStore(tmp_path, transform).folder
    monkeypatch.setattr(f"{decoder}.__version__", "0")
    assert PixelStore(tmp_path, transform).folder != before
