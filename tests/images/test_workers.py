import hashlib
import os
import time
from pathlib import Path

import pytest
from factories import encoded, make_image
from PIL import Image

from goodbad_pipeline.images import workers
from goodbad_pipeline.images.reading import Limits, Measured, Outcome, ReadSettings, Task
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.workers import close_idle_workers, read_batch

GOOD = encoded(make_image(1, bright=True))


@pytest.fixture(autouse=True)
def _no_worker_stays():
    yield
    close_idle_workers()


def read(root: Path, *names: str, limits: Limits) -> list[Outcome]:
    for name in names:
        if not (root / name).exists():
            (root / name).write_bytes(GOOD)
    settings = ReadSettings(root.resolve(), 10**8, (255, 255, 255), limits=limits)
    return read_batch([Task(name) for name in names], settings)


def test_a_hang_a_crash_and_an_exit_reject_only_those_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORKER", "hostile_worker")
    names = ["a.png", "hang.png", "b.png", "crash.png", "exit.png", "c.png"]
    found = {
        name: outcome.result
        for name, outcome in zip(names, read(tmp_path, *names, limits=Limits(2.0, 1 << 30)), strict=True)
    }
    assert all(isinstance(found[name], Measured) for name in ("a.png", "b.png", "c.png"))
    image_id = hashlib.sha256(GOOD).hexdigest()
    assert found["hang.png"] == Rejection(
        Reason.TIMEOUT, "not read within images.scan.timeout, 2 s", len(GOOD), image_id
    )
    assert found["crash.png"] == Rejection(Reason.CRASHED, "the worker process ended (SIGSEGV)", len(GOOD), image_id)
    assert found["exit.png"] == Rejection(Reason.CRASHED, "the worker process ended (status 3)", len(GOOD), image_id)


def test_an_image_that_takes_too_much_memory(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(encoded(Image.new("L", (6000, 6000))))
    large, small = read(tmp_path, "large.png", "small.png", limits=Limits(60.0, 64 << 20))
    assert large.result.reason == Reason.OUT_OF_MEMORY
    assert large.result.size == (tmp_path / "large.png").stat().st_size
    assert isinstance(small.result, Measured)


def test_a_file_larger_than_the_memory_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_read_in_new_worker", None)  # no worker is lost over them
    video, image_, endless = tmp_path / "video.png", tmp_path / "large.png", tmp_path / "endless.png"
    for file, start, length in ((video, b"ftypmp42", 80 << 20), (image_, GOOD, 80 << 20), (endless, b"", 1 << 40)):
        file.write_bytes(start)
        os.truncate(file, length)
    names = [file.name for file in (video, image_, endless)]
    limits = [Limits(600.0, 64 << 20)] * 2 + [Limits(0.2, 64 << 20)]  # nothing hashes 1 TiB in 0.1 seconds
    found = [read(tmp_path, name, limits=limit)[0].result for name, limit in zip(names, limits, strict=True)]
    assert [one.reason for one in found] == [Reason.NOT_AN_IMAGE, Reason.OUT_OF_MEMORY, Reason.NOT_AN_IMAGE]
    assert [one.size for one in found] == [80 << 20, 80 << 20, 1 << 40]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (video, image_)]
    assert [one.image_id for one in found] == [*hashes, None]


def test_a_worker_is_reused_and_cannot_write_files(tmp_path: Path) -> None:
    read(tmp_path, "a.png", limits=Limits())
    (worker,) = workers._idle
    read(tmp_path, "b.png", limits=Limits())
    assert workers._idle == [worker]
    limits = Path(f"/proc/{worker._process.pid}/limits").read_text()
    assert "Max file size             0 " in limits
    assert "Max core file size        0 " in limits


def test_workers_end_after_their_parent_was_killed(tmp_path: Path) -> None:
    read(tmp_path, "a.png", limits=Limits())
    (worker,) = workers._idle
    worker._connection.close()  # what the system does for a process that was killed
    deadline = time.monotonic() + 10
    while worker._process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker._process.returncode == 0
    workers._idle.clear()
