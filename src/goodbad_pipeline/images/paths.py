"""Convert file names to text, detect changed files, and read files without leaving the root or blocking.

File names are bytes, but tables store text. In tables, each byte that is not valid UTF-8 becomes a private-use
character, U+10FF80–U+10FFFF. If a file name already contains a character of this range, each UTF-8 byte of the
character is replaced. The mapping is therefore one-to-one. Parquet, CSV and JSON can store every converted name.
"""

import hashlib
import os
import re
import stat
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from goodbad_pipeline.images.formats import HEAD_BYTES, describe_unread, find_container
from goodbad_pipeline.images.rejections import Reason, Rejection

_LEAVES_ROOT = re.compile(r"\0|://|^(/|\\\\)|(^|[\\/])\.\.([\\/]|$)")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # checked in manifests only: in a listed folder, `a:` is a valid name
_INT64 = 2**63 - 1
_GONE = (-2, -2, -2, -2)
_TICK = 2_000_000_000  # nanoseconds; resolution of the coarsest file-system clock
_PRIVATE, _SURROGATE, _HIGH_BYTES = 0x10FF80, 0xDC80, range(0x80, 0x100)
_TO_NAME = {_PRIVATE + number: _SURROGATE + number for number in range(len(_HIGH_BYTES))}
_TO_TEXT: dict[int, str] = {surrogate: chr(private) for private, surrogate in _TO_NAME.items()}
_TO_TEXT |= {
    private: "".join(chr(_PRIVATE - _HIGH_BYTES.start + byte) for byte in chr(private).encode()) for private in _TO_NAME
}


def to_text(name: str) -> str:
    """Convert a file name as returned by ``os`` to the text stored in tables."""
    return name if name.isascii() else name.translate(_TO_TEXT)


def locate(root: Path, path: str) -> str:
    """Return the name by which ``os`` opens a file in ``root``, given the file's path in a table."""
    return os.path.join(root, _to_name(path))


def _to_name(path: str) -> str:
    return path if path.isascii() else path.translate(_TO_NAME)


def printable(text: str) -> str:
    """Return ``text`` with line breaks and other unprintable characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def leaves_root(path: str) -> bool:
    """Return True if a path in a manifest is absolute, contains `..` or a NUL byte, or is a URL."""
    return _DRIVE.match(path) is not None or _LEAVES_ROOT.search(path) is not None


class FileState(NamedTuple):
    """Attributes that reveal a changed file without reading the file: int64, times in nanoseconds since 1970."""

    size: int
    modified: int  # mtime, which users can set
    changed: int  # ctime, which only the system sets
    inode: int

    @classmethod
    def of(cls, result: os.stat_result) -> "FileState":
        """Return the state of a file from a result of ``os.stat``."""
        return cls(result.st_size, result.st_mtime_ns, result.st_ctime_ns, result.st_ino & _INT64)

    @property
    def is_settled(self) -> bool:
        """True if the last change is so old that another change would get a different ctime."""
        return time.time_ns() - self.changed > _TICK


class FileContent(NamedTuple):
    """The content of a file, or why it was rejected, and the file's state when it was opened."""

    content: bytes | Rejection
    state: FileState | None = None  # None if the file was not opened, or if the next scan must read it again


class Store(ABC):
    """A place of images that is not a local folder, such as a bucket or an archive.

    Paths are relative, with `/` as separator.
    """

    @property
    @abstractmethod
    def files(self) -> Mapping[str, FileState]:
        """The `FileState` of each file, by path. The files are listed only once, at the first access."""

    @abstractmethod
    def read(self, path: str, max_bytes: int | None = None) -> FileContent:
        """Read a file, or reject it if it is larger than ``max_bytes``. May be called in several threads."""

    def only(self, paths: Sequence[str]) -> "Store":
        """Return a store with only ``paths``, to be sent to the process that reads these files."""
        return self

    def resolve(self) -> "Store":
        """Return the store itself. Callers can thus resolve any root, a store or a `Path`."""
        return self


Root = Path | Store
"""The place that contains all images: a local folder or a store."""


def find_state(root: Root, path: str) -> FileState | None:
    """Return the current state of a file, or None if there is no such file."""
    if isinstance(root, Store):
        return root.files.get(path)
    try:
        return FileState.of(os.stat(locate(root, path)))
    except (OSError, ValueError):
        return None


def find_states(root: Root, paths: Sequence[str]) -> np.ndarray:
    """Return the current states of many files, int64 of shape (n, 4). A million files take seconds.

    A file's four values are −2 if the file is missing or a link leads out of ``root`` (a resolved path). Folders are
    also checked: if a folder is moved and replaced by a link, the states of the files in the folder do not change.
    """
    if isinstance(root, Store):
        return np.array([root.files.get(path, _GONE) for path in paths], np.int64).reshape(-1, len(_GONE))
    prefix, values = os.path.join(root, ""), array("q")
    is_inside = cache(lambda name: Path(os.path.realpath(prefix + name)).is_relative_to(root))
    for path in paths:
        name = _to_name(path)
        try:
            result = os.lstat(prefix + name)
            is_link = stat.S_ISLNK(result.st_mode)
            if is_link:
                result = os.stat(prefix + name)
        except (OSError, ValueError):
            values.extend(_GONE)
            continue
        state = (result.st_size, result.st_mtime_ns, result.st_ctime_ns, result.st_ino & _INT64)
        values.extend(state if is_inside(name if is_link else name[: name.rfind("/") + 1]) else _GONE)
    return np.frombuffer(values, np.int64).reshape(-1, len(_GONE))


def are_settled(states: np.ndarray) -> np.ndarray:
    """Return which states of :func:`find_states` are settled (:attr:`FileState.is_settled`): bool of shape (n,)."""
    return time.time_ns() - states[:, FileState._fields.index("changed")] > _TICK


def read_inside(root: Root, path: str, *, max_bytes: int | None = None, seconds: float = 10.0) -> FileContent:
    """Read a regular file below ``root`` (resolved), by its path as stored in a table.

    Never wait for a FIFO or device, and never follow a link out of ``root``. Files that lack the signature of an
    accepted format or exceed ``max_bytes`` are rejected. Such files are hashed block by block; if hashing takes more
    than ``seconds``, the rejection has no hash.
    """
    if isinstance(root, Store):
        return root.read(path, max_bytes)
    return _read_local(root, path, max_bytes, seconds)


def _read_local(root: Path, path: str, max_bytes: int | None, seconds: float) -> FileContent:
    if _LEAVES_ROOT.search(path):
        return FileContent(Rejection(Reason.OUTSIDE_ROOT, "a path must be relative and contain no '..'"))
    name = locate(root, path)
    try:
        file = os.path.realpath(name, strict=True)
        if not Path(file).is_relative_to(root):
            return FileContent(Rejection(Reason.OUTSIDE_ROOT, f"a link that leaves '{root}'"))
        if not stat.S_ISREG(mode := os.stat(file).st_mode):
            return FileContent(_reject_kind(name, mode))
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as stream:
            return _read(stream, max_bytes, seconds)
    except FileNotFoundError:
        detail = "a broken link" if os.path.islink(name) else f"no such file in '{root}'"
        return FileContent(Rejection(Reason.MISSING, detail))
    except (OSError, ValueError) as error:
        message = getattr(error, "strerror", None) or str(error)
        return FileContent(Rejection(Reason.UNREADABLE, message))


def _read(stream: BinaryIO, max_bytes: int | None, seconds: float) -> FileContent:
    result = os.fstat(stream.fileno())
    if not stat.S_ISREG(result.st_mode):  # the file was replaced after it was checked
        return FileContent(Rejection(Reason.NOT_A_FILE, "no longer a regular file"))
    state, head = FileState.of(result), stream.read(HEAD_BYTES)
    stream.seek(0)
    if head and find_container(head) is None:
        return FileContent(
            Rejection(Reason.NOT_AN_IMAGE, describe_unread(head), state.size, _hash(stream, seconds)), state
        )
    if max_bytes is not None and state.size > max_bytes:
        return FileContent(too_large(state.size, max_bytes, _hash(stream, seconds)))
    return FileContent(stream.read(), state)


def too_large(size: int, max_bytes: int, image_id: str | None = None) -> Rejection:
    """Return the rejection of a file with more than ``max_bytes``."""
    detail = f"a file of {size >> 20} MiB; at most {max_bytes >> 20} MiB are read"
    return Rejection(Reason.OUT_OF_MEMORY, detail, size, image_id)


def _hash(stream: BinaryIO, seconds: float) -> str | None:
    """Return the SHA-256 of a file, or None if hashing takes more than ``seconds``."""
    digest, deadline = hashlib.sha256(), time.monotonic() + seconds
    while part := stream.read(1 << 20):
        digest.update(part)
        if time.monotonic() > deadline:
            return None
    return digest.hexdigest()


def _reject_kind(name: str, mode: int) -> Rejection:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    if os.path.islink(name):
        return Rejection(Reason.NOT_A_FILE, f"a link to a {kind}, which is not followed")
    if kind == "folder" and not os.access(name, os.R_OK | os.X_OK):
        return Rejection(Reason.UNREADABLE, "a folder that cannot be listed")
    return Rejection(Reason.NOT_A_FILE, f"a {kind}, not a regular file")
