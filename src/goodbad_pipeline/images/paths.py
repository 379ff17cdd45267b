"""Names of files, as tables hold them, and how one is read without leaving the root or getting stuck.

A file name is bytes, a table holds text. Bytes that are no UTF-8 stand in tables as the private-use characters
U+10FF80–U+10FFFF, one each, and those characters themselves as the bytes they are made of; so every name has exactly
one text, every text one name, and Parquet, CSV and JSON take them all.
"""

import hashlib
import os
import re
import stat
import time
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from goodbad_pipeline.images.formats import HEAD_BYTES, NO_FORMAT, find_container
from goodbad_pipeline.images.reasons import Reason, Rejection

_LEAVES_ROOT = re.compile(r"\0|://|^(/|\\\\)|(^|[\\/])\.\.([\\/]|$)")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # in a folder that is walked, `a:` is a name like any other
_INT64 = 2**63 - 1
_GONE = (-2, -2, -2, -2)
_TICK = 2_000_000_000  # nanoseconds
_PRIVATE, _SURROGATE, _HIGH_BYTES = 0x10FF80, 0xDC80, range(0x80, 0x100)
_TO_NAME = {_PRIVATE + number: _SURROGATE + number for number in range(len(_HIGH_BYTES))}
_TO_TEXT: dict[int, str] = {surrogate: chr(private) for private, surrogate in _TO_NAME.items()}
_TO_TEXT |= {
    private: "".join(chr(_PRIVATE - _HIGH_BYTES.start + byte) for byte in chr(private).encode()) for private in _TO_NAME
}


def to_text(name: str) -> str:
    """Return the text that stands for a file name as ``os`` gives it."""
    return name if name.isascii() else name.translate(_TO_TEXT)


def locate(root: Path, path: str) -> str:
    """Return the file that a table's ``path`` stands for."""
    return os.path.join(root, _to_name(path))


def _to_name(path: str) -> str:
    return path if path.isascii() else path.translate(_TO_NAME)


def printable(text: str) -> str:
    """Return ``text`` with what would break a line or cannot be seen spelled out."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def leaves_root(path: str) -> bool:
    """Whether a manifest's path is absolute, climbs with `..`, holds a NUL byte or is a URL, whatever is on disk."""
    return _DRIVE.match(path) is not None or _LEAVES_ROOT.search(path) is not None


class State(NamedTuple):
    """What tells, without reading it, that a file is still the one that was read; each fits an int64.

    Attributes:
        size: Bytes.
        modified: Nanoseconds since 1970, as anyone may set them.
        changed: Nanoseconds since 1970 of the last change to content or entry, which only the system sets.
        inode: Number of the file in its file system.
    """

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, facts: os.stat_result) -> "State":
        """Pick it from what the system says."""
        return cls(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino & _INT64)

    @property
    def is_settled(self) -> bool:
        """Whether the next change is bound to show: clocks of file systems tick, some of them every two seconds."""
        return time.time_ns() - self.changed > _TICK


def find_state(root: Path, path: str) -> State | None:
    """The state of the file now; None where there is none."""
    try:
        return State.of(os.stat(locate(root, path)))
    except (OSError, ValueError):
        return None


def find_states(root: Path, paths: Sequence[str]) -> np.ndarray:
    """The states of many files now, int64 of shape (n, 4); a million take seconds.

    Where there is none, or a link leads out of ``root`` (resolved), all are −2. A folder that was moved out, with a
    link left behind, holds the same files in the same state: so each folder is followed, once.
    """
    above, values = os.path.join(root, ""), array("q")
    stays = cache(lambda name: Path(os.path.realpath(above + name)).is_relative_to(root))
    for path in paths:
        name = _to_name(path)
        try:
            facts = os.lstat(above + name)
            is_link = stat.S_ISLNK(facts.st_mode)
            if is_link:
                facts = os.stat(above + name)
        except (OSError, ValueError):
            values.extend(_GONE)
            continue
        if stays(name if is_link else name[: name.rfind("/") + 1]):
            values.extend((facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino & _INT64))
        else:
            values.extend(_GONE)
    return np.frombuffer(values, np.int64).reshape(-1, len(_GONE))


def are_settled(states: np.ndarray) -> np.ndarray:
    """Which of the states of :func:`find_states` are settled, see :class:`State`: bool of shape (n,)."""
    return time.time_ns() - states[:, State._fields.index("changed")] > _TICK


class Read(NamedTuple):
    """What a file holds, or why it was not read.

    Attributes:
        content: All of it, or the reason.
        state: When it was opened; None where it was not, or where it is to be tried again.
    """

    content: bytes | Rejection
    state: State | None = None


def read_inside(root: Path, path: str, *, most: int | None = None, seconds: float = 10.0) -> Read:
    """Read a regular file below ``root``; never waits on a FIFO or device, never follows a link out.

    What does not begin as an accepted format does is hashed and not kept in memory, however large it is.

    Args:
        root: Folder, resolved.
        path: As a table holds it.
        most: Bytes beyond which a file is not read; None for no limit.
        seconds: How long a file that is not read may take to be hashed; beyond that it has no hash.
    """
    if _LEAVES_ROOT.search(path):
        return Read(Rejection(Reason.OUTSIDE_ROOT, "a path must be relative to images.root and hold no '..'"))
    name = locate(root, path)
    try:
        file = os.path.realpath(name, strict=True)
        if not Path(file).is_relative_to(root):
            return Read(Rejection(Reason.OUTSIDE_ROOT, "a link that leaves images.root"))
        if not stat.S_ISREG(mode := os.stat(file).st_mode):
            return Read(_no_file(name, mode))
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as stream:
            return _read(stream, most, seconds)
    except FileNotFoundError:
        link = os.path.islink(name)
        return Read(Rejection(Reason.MISSING, "a link to nothing" if link else "no such file in images.root"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Read(Rejection(Reason.UNREADABLE, f"{type(error).__name__}: {why}"))


def _read(stream: BinaryIO, most: int | None, seconds: float) -> Read:
    facts = os.fstat(stream.fileno())
    if not stat.S_ISREG(facts.st_mode):  # it was, a moment ago
        return Read(Rejection(Reason.NOT_A_FILE, "not a regular file any more"))
    state, head = State.of(facts), stream.read(HEAD_BYTES)
    stream.seek(0)
    if head and find_container(head) is None:
        return Read(Rejection(Reason.NOT_AN_IMAGE, NO_FORMAT, state.size, _hash(stream, seconds)), state)
    if most is not None and state.size > most:
        detail = f"a file of {state.size >> 20} MiB, of which {most >> 20} may be read"
        return Read(Rejection(Reason.OUT_OF_MEMORY, detail, state.size, _hash(stream, seconds)))
    return Read(stream.read(), state)


def _hash(stream: BinaryIO, seconds: float) -> str | None:
    """SHA-256 of what is left of a file, a megabyte at a time; None where that takes too long."""
    digest, deadline = hashlib.sha256(), time.monotonic() + seconds
    while part := stream.read(1 << 20):
        digest.update(part)
        if time.monotonic() > deadline:
            return None
    return digest.hexdigest()


def _no_file(name: str, mode: int) -> Rejection:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    if os.path.islink(name):
        return Rejection(Reason.NOT_A_FILE, f"a link to a {kind}, which is not followed")
    if kind == "folder" and not os.access(name, os.R_OK | os.X_OK):
        return Rejection(Reason.UNREADABLE, "a folder that cannot be listed")
    return Rejection(Reason.NOT_A_FILE, f"a {kind}, not a regular file")
