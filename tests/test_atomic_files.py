"""Atomic replacement of a folder, also if the process is killed."""

import errno
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from goodbad_pipeline import atomic_files
from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets import FilesDataset

OLD, NEW = {"a": b"old", "b": b"old"}, {"a": b"new", "c": b"new"}


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def system(request, monkeypatch) -> bool:
    """Whether the system can swap two paths."""
    if not request.param:
        monkeypatch.setattr(atomic_files, "exchange", lambda one, other: False)
    return request.param


def killed_at(line: int, folder: Path) -> bool:
    """Save NEW in a process that is killed at the given line of atomic_files; return whether it was killed."""
    child = os.fork()
    if not child:
        left = [line]

        def trace(frame, event, argument):
            if frame.f_code.co_filename == atomic_files.__file__ and event == "line":
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        FilesDataset(filepath=str(folder)).save(NEW)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_kill_at_any_line_leaves_the_old_folder_or_the_new_one(tmp_path: Path, system: bool) -> None:
    states, line = [], 1
    while True:
        folder = tmp_path / str(line) / "exported"
        FilesDataset(filepath=str(folder)).save(OLD)
        if not killed_at(line, folder):
            break
        exists = folder.is_dir()
        states.append((exists, content(FilesDataset(filepath=str(folder)).load())))
        with atomic_write(folder.with_name("another")) as draft:
            draft.touch()
        assert sorted(os.listdir(folder.parent)) == ["another", "exported"]
        line += 1
    assert [files for _, files in states if files not in (OLD, NEW)] == []
    assert states[0] == (True, OLD)
    assert states[-1] == (True, NEW)
    assert all(exists for exists, _ in states) == system  # else it was restored


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_file_systems_that_cannot_flush_folders_are_supported(
    tmp_path: Path, monkeypatch, number: int, passes: bool
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_files.os, "fsync", fail)
    with nullcontext() if passes else pytest.raises(OSError, match="error"):
        atomic_files.flush_folder(tmp_path)


def test_temporary_files_of_running_processes_and_other_hosts_are_kept(tmp_path: Path) -> None:
    names = [f".new-{os.getpid()}-{atomic_files.socket.gethostname()}.other", ".new-999999999-elsewhere.other"]
    for name in names:
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "file") as draft:
        draft.touch()
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "file"])
