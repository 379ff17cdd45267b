"""A second scan reads only changed files."""

import os
import shutil
import socket
import time
from pathlib import Path

import pandas as pd
import pytest
from factories import encoded, make_image
from filelock import FileLock
from full_disk import files_of_at_most

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import paths as paths_module
from goodbad_pipeline.images import scan as scan_module
from goodbad_pipeline.images import scan_cache as scan_cache_module
from goodbad_pipeline.images.paths import find_state
from goodbad_pipeline.images.reading import ReadSettings, Task, read_image
from goodbad_pipeline.images.scan import Scan, scan_candidates
from goodbad_pipeline.images.scan_cache import ScanCache


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images and a text file, old enough for their states to be trusted."""
    folder = tmp_path / "root"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(encoded(make_image(number, bright=True)))
    (folder / "text.png").write_text("words")
    time.sleep(2.1)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that workers read; those that are only hashed end in `#`."""
    paths: list[str] = []
    read_batches = scan_module.read_batches

    def listen(batches, settings, backend, stop):
        batches = list(batches)
        paths.extend(task.path + "#" * (task.image_id is not None) for batch in batches for task in batch)
        return read_batches(batches, settings, backend, stop)

    monkeypatch.setattr(scan_module, "read_batches", listen)
    return paths


def scan(root: Path, paths: list[str] | None = None, **options) -> Scan:
    paths = paths or sorted(file.name for file in root.iterdir())
    table = pd.DataFrame({"path": paths, "label": "x"}, dtype=object)
    table = table.assign(group=None, split=None)
    options = {"max_pixels": 10_000, "background": (0, 0, 0), "cache_folder": root.parent / "scan_cache"} | options
    return scan_candidates(table, root, **options)


def assert_same(found: Scan, other: Scan) -> None:
    pd.testing.assert_frame_equal(found.images, other.images)
    pd.testing.assert_frame_equal(found.quarantine, other.quarantine)


def test_a_second_scan_reads_nothing_and_returns_the_same(root: Path, asked: list[str]) -> None:
    first = scan(root)
    assert len(asked) == 7
    asked.clear()
    assert_same(scan(root), first)
    assert asked == []
    assert_same(scan(root, cache_folder=None), first)


def test_changed_files_are_read_again_and_deleted_files_are_dropped(root: Path, asked: list[str]) -> None:
    scan(root)
    asked.clear()
    (root / "1.png").write_bytes((root / "2.png").read_bytes())
    times = (root / "3.png").stat()
    (root / "3.png").write_bytes(encoded(make_image(99, bright=True))[: times.st_size].ljust(times.st_size, b"\0"))
    os.utime(root / "3.png", ns=(times.st_atime_ns, times.st_mtime_ns))  # size and mtime are unchanged
    (root / "4.png").unlink()
    (root / "text.png").rename(root / "words.png")
    again = scan(root)
    assert sorted(asked) == ["1.png", "3.png", "words.png"]
    assert_same(again, scan(root, cache_folder=None))
    assert "4.png" not in set(again.images["path"])


def test_files_moved_out_of_the_root_behind_a_link_are_not_trusted(root: Path, asked: list[str]) -> None:
    (root / "sub").mkdir()
    for number, name in enumerate(("sub/0.png", "sub/1.png")):
        os.link(root / f"{number}.png", root / name)
    (root / "inside.png").symlink_to("5.png")
    (root / "way.png").symlink_to("sub/1.png")
    time.sleep(2.1)
    paths = ["2.png", "inside.png", "sub/0.png", "sub/1.png", "way.png"]
    scan(root, paths)
    asked.clear()
    assert len(scan(root, paths).images) == 5
    assert asked == []
    (root / "sub").rename(root.parent / "elsewhere")
    (root / "sub").symlink_to(root.parent / "elsewhere")
    again = scan(root, paths)
    assert asked == ["sub/0.png", "sub/1.png", "way.png"]
    assert set(again.quarantine["reason"]) == {"outside_root"}
    assert_same(again, scan(root, paths, cache_folder=None))


def test_a_file_that_just_changed_is_not_trusted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ReadSettings(root.resolve(), 10_000, (0, 0, 0))
    assert read_image(Task("0.png"), settings).state == find_state(root, "0.png")
    monkeypatch.setattr(paths_module, "_TICK", 10**18)
    assert read_image(Task("0.png"), settings).state is None


def test_a_file_without_a_state_is_read_again(root: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(paths_module.FileState, "_asdict", lambda state: {})
        first = scan(root)
    asked.clear()
    assert_same(scan(root), first)
    assert len(asked) == 7


def test_without_trust_every_file_is_hashed_but_only_changed_ones_decoded(root: Path, asked: list[str]) -> None:
    first = scan(root)
    asked.clear()
    (root / "5.png").write_bytes((root / "0.png").read_bytes())
    again = scan(root, trust_timestamps=False)
    assert sorted(asked) == [*(f"{number}.png#" for number in range(6)), "text.png#"]
    assert again.images["pixel_id"].tolist()[:5] == first.images["pixel_id"].tolist()[:5]
    assert again.images["pixel_id"][5] == again.images["pixel_id"][0]
    assert_same(again, scan(root, cache_folder=None))


def test_other_settings_replace_the_cache(root: Path, asked: list[str]) -> None:
    scan(root)
    asked.clear()
    scan(root, background=(9, 9, 9))
    assert len(asked) == 7
    assert len(list((root.parent / "scan_cache").glob("*-*"))) == 1


def test_only_the_rows_of_a_broken_shard_are_lost(
    root: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_cache_module, "SHARD_ROWS", 3)
    first = scan(root)
    shards = sorted((root.parent / "scan_cache").rglob("*.parquet"))
    shards[1].write_bytes(b"")
    (shards[0].parent / ".new-1-host.2.parquet").write_bytes(b"half a shard")
    asked.clear()
    assert_same(scan(root), first)
    assert len(asked) == 3


def test_the_temporary_shard_of_a_killed_scan_is_ignored(root: Path) -> None:
    first = scan(root)
    (shard,) = (root.parent / "scan_cache").rglob("*.parquet")
    temporary = shard.with_name(f".new-99999999-{socket.gethostname()}.1.parquet")  # of a process that has ended
    shutil.copy(shard, temporary)
    (root / "6.png").write_bytes((root / "0.png").read_bytes())
    again = scan(root)  # the first write removes the temporary file
    assert not temporary.exists()
    assert len(again.images) == len(first.images) + 1


def test_files_of_an_interrupted_scan_are_not_read_again(
    root: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "BATCH", 2)
    monkeypatch.setattr(scan_cache_module, "SHARD_ROWS", 2)
    with monkeypatch.context() as patch:
        append, count = ScanCache.append, []

        def stop(self, *arguments):
            count.append(1)
            if len(count) == 5:
                raise KeyboardInterrupt
            return append(self, *arguments)

        patch.setattr(ScanCache, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            scan(root)
    asked.clear()
    again = scan(root)
    assert len(asked) == 3
    assert_same(again, scan(root, cache_folder=None))


def test_two_scans_of_one_root_do_not_run_at_once(root: Path) -> None:
    scan(root)
    cache = ScanCache(root.parent / "scan_cache", ReadSettings(root.resolve(), 10_000, (0, 0, 0)))
    with (
        FileLock(cache._lock.lock_file),
        pytest.raises(InputError, match=r"images\.root: another run is scanning this folder"),
    ):
        scan(root)


def test_removing_the_cache_only_costs_time(root: Path, asked: list[str]) -> None:
    first = scan(root)
    shutil.rmtree(root.parent / "scan_cache")
    assert_same(scan(root), first)


def test_a_full_disk_names_the_shard_and_releases_the_lock(tmp_path: Path) -> None:
    settings = ReadSettings(tmp_path, 10_000, (0, 0, 0))

    def append() -> None:
        with ScanCache(tmp_path / "scan_cache", settings) as cache:
            cache.append("0.png", read_image(Task("0.png"), settings))

    with files_of_at_most(0), pytest.raises(InputError, match=r"\d+\.parquet: cannot be written"):
        append()
    append()
    assert len(list(tmp_path.glob("scan_cache/*/*.parquet"))) == 1
