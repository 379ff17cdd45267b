"""What a disk promises about names: that they outlive a power cut, and that two of them change places in one step."""

import ctypes
import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import psutil

from goodbad_pipeline.errors import writing

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>


def flush_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network disks have no such thing
            raise
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system, or the file system, has no such thing."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # a C library older than 2018
        return False
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def write_text(file: Path, text: str) -> None:
    """Write a small file that is there whole or as it was before; one process at a time may."""
    draft = file.with_name(f".{file.name}")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


_NEW, _OLD = ".new-", ".old-"  # then process, machine, and the name it is about: .new-4711-host.model.keras


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name beside ``target`` to write to; on success it takes ``target``'s place in one step.

    Whatever stood there before stays whole until then, and stays for good if writing fails. What processes that were
    killed left beside it is removed.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    draft = _aside(_NEW, target)
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            _remove(draft)
            yield draft
            _flush(draft)
            _take_place(draft, target)
    finally:
        _remove(draft)


def restored(target: Path) -> Path:
    """Return ``target``, brought back if a kill came between two renames; for folders, before they are read."""
    if not target.exists() and target.parent.is_dir():
        _sweep(target.parent)
    return target


def _take_place(draft: Path, target: Path) -> None:
    """Rename; a folder changes places with the one it replaces, or, where nothing can do that, follows it."""
    if not (draft.is_dir() and target.exists()):
        draft.replace(target)
    elif not exchange(draft, target):
        old = _aside(_OLD, target)
        target.rename(old)
        draft.rename(target)
        _remove(old)
    flush_folder(target.parent)


def _aside(kind: str, target: Path) -> Path:
    return target.with_name(f"{kind}{os.getpid()}-{socket.gethostname()}.{target.name}")


def _sweep(folder: Path) -> None:
    """Bring back, or else remove, what processes of this machine left that are no more."""
    ours = f"-{socket.gethostname()}."
    for path in [*folder.glob(f"{_OLD}[0-9]*{ours}*"), *folder.glob(f"{_NEW}[0-9]*{ours}*")]:
        process, _, name = path.name.removeprefix(_OLD).removeprefix(_NEW).partition(ours)
        if not process.isdecimal() or psutil.pid_exists(int(process)):
            continue
        with suppress(OSError):  # another process sweeps as well
            if path.name.startswith(_OLD) and not (folder / name).exists():
                path.rename(folder / name)
            else:
                _remove(path)


class AtomicSave:
    """Put before one of Kedro's file datasets among a class's bases: its file or folder appears when it is whole.

    Kedro's own write straight into the file, so that a save that is killed, or finds the disk full, leaves a fragment
    where there was something good.
    """

    def save(self, data: Any) -> None:
        """Write under a temporary name and rename."""
        dataset: Any = self
        own, version = dataset._filepath, getattr(dataset, "_version", None)
        write = super().save.__wrapped__  # type: ignore[misc] # without Kedro's wrapper, which would hide what failed
        with replacing(Path(dataset._get_save_path())) as draft:
            # or it would make a version's path of the draft's
            dataset._filepath, dataset._version = PurePosixPath(draft), None
            try:
                write(self, data)
            finally:
                dataset._filepath, dataset._version = own, version


def _flush(path: Path) -> None:
    """Make what was written reach the disk: some file systems tell only now that it is full."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
