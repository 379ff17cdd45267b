"""Replace a file or folder in one step, so that a kill, a full disk or a power cut leaves the old content."""

import ctypes
import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from goodbad_pipeline.errors import writing

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # from <fcntl.h> and <linux/fs.h>
_NEW, _OLD = ".new-", ".old-"  # prefixes of temporary names, such as .new-4711-host.model.keras for process 4711


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a temporary path, at which the caller creates a file or folder; then replace ``target`` in one step.

    After an error, ``target`` is unchanged. Temporary files that killed processes left in the same folder are removed.
    Raises `InputError` if the disk is full or the folder is not writable.
    """
    draft = _temporary(_NEW, target)
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _clean_up(target.parent)
            _remove(draft)
            yield draft
            _flush(draft)
            _replace(draft, target)
    finally:
        _remove(draft)


def recover(target: Path) -> Path:
    """Return ``target``; if a kill interrupted the replacement of this folder, restore the old folder first."""
    if not target.exists() and target.parent.is_dir():
        _clean_up(target.parent)
    return target


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; return False if the operating system or the file system does not support this."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "renameat2"):  # missing before glibc 2.28
        return False
    rename = libc.renameat2
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk, so that renames survive a power cut."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def _replace(draft: Path, target: Path) -> None:
    if not (draft.is_dir() and target.exists()):
        draft.replace(target)
    elif not exchange(draft, target):
        old = _temporary(_OLD, target)
        target.rename(old)
        draft.rename(target)
        _remove(old)
    flush_folder(target.parent)


def _flush(draft: Path) -> None:
    """Flush a file, or a folder and its content, to disk. Some file systems report a full disk only at this point."""
    for path in [draft, *draft.rglob("*")]:
        if path.is_dir():
            flush_folder(path)
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _temporary(kind: str, target: Path) -> Path:
    return target.with_name(f"{kind}{os.getpid()}-{socket.gethostname()}.{target.name}")


def _clean_up(folder: Path) -> None:
    """Remove temporary files of this host's killed processes; restore folders whose replacement was interrupted."""
    host = f"-{socket.gethostname()}."
    for path in [*folder.glob(f"{_OLD}[0-9]*{host}*"), *folder.glob(f"{_NEW}[0-9]*{host}*")]:
        process, _, name = path.name.removeprefix(_OLD).removeprefix(_NEW).partition(host)
        if not process.isdecimal() or psutil.pid_exists(int(process)):
            continue
        with suppress(OSError):  # another process may be cleaning up too
            if path.name.startswith(_OLD) and not (folder / name).exists():
                path.rename(folder / name)
            else:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
