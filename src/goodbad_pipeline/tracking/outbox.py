"""Where entries wait for MLflow: a folder on disk, told later, in order."""

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import writing
from goodbad_pipeline.tracking.server import Entry, Server, is_rejected, may_change

logger = logging.getLogger(__name__)

FOLDER = Path("data", ".spool")  # of a project
PAUSE = 30.0  # seconds after which a server that did not answer is asked again
_ENTRIES, _TOLD, _IDS, _REFUSED = "entries.jsonl", "told", "ids.json", "refused.jsonl"


class Journal:
    """The entries of one process, in the order they came.

    ``told`` holds a byte for each entry that MLflow has; entries are told again after a kill between the two, which
    does no harm (:mod:`goodbad_pipeline.tracking.server`).

    Args:
        path: Its folder; need not exist.
        uri: Of the store it is for; None: as it stands there.
    """

    def __init__(self, path: Path, uri: str | None = None) -> None:
        self.path = path
        self.uri = uri if uri is not None else (path / "uri").read_text(encoding="utf-8")
        self._lock = FileLock(path / ".lock", timeout=0, thread_local=False)  # nodes run in threads

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Keep others off; gives False where its process still goes on."""
        try:
            with self._lock:
                yield True
        except Timeout:
            yield False

    def append(self, entry: Entry, file: Path | None = None) -> None:
        """Keep an entry, with a copy of the file it is about."""
        with writing(self.path / _ENTRIES):
            entry = self._taken_in(entry, file)
            with (self.path / _ENTRIES).open("ab+") as stream:
                self._cut_fragment(stream)
                stream.write(json.dumps(entry).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())

    def refuse(self, entry: Entry, error: Exception, file: Path | None = None) -> None:
        """Keep what MLflow does not take, with a copy of the file it is about and the reason, to be looked at."""
        logger.warning("MLflow does not take what is kept in %s: %s", self.path, error)
        with writing(self.path / _REFUSED):
            entry = self._taken_in(entry, file)
            with (self.path / _REFUSED).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**entry, "refused": str(error)}) + "\n")

    def _taken_in(self, entry: Entry, file: Path | None) -> Entry:
        """The entry, which names the copy of its file; makes the folder, and holds it from then on."""
        if not self._lock.is_locked:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            with atomic_write(self.path / "uri") as draft:
                draft.write_text(self.uri, encoding="utf-8")
        if file is None:
            return entry
        copy = self.path / "files" / str(time.time_ns()) / file.name
        copy.parent.mkdir(parents=True)
        (shutil.copytree if file.is_dir() else shutil.copy2)(file, copy)
        return {**entry, "file": str(copy.relative_to(self.path))}

    def waiting(self) -> list[Entry]:
        """Entries that MLflow was not told."""
        return self._entries()[self._told() :]

    def _entries(self) -> list[Entry]:
        entries = []
        for line in self._lines().splitlines():
            with contextlib.suppress(ValueError):  # what a power cut made of it
                entries.append(json.loads(line))
        return entries

    def _cut_fragment(self, stream: BinaryIO) -> None:
        """Remove half a line that a full disk left at the end, or the next one would be glued to it."""
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                stream.truncate(len(self._lines()))

    def _lines(self) -> bytes:
        """All whole lines; the last one may have been cut short, by a kill or a full disk."""
        with contextlib.suppress(FileNotFoundError):
            content = (self.path / _ENTRIES).read_bytes()
            return content[: content.rfind(b"\n") + 1]
        return b""

    def tell(self, server: Server) -> int:
        """Tell all that waits; returns how much.

        Raises:
            Exception: The server does not answer; what it was told is not told again.
        """
        told = 0
        self._find_runs(server)
        while waiting := self.waiting():  # more may come meanwhile
            for entry in waiting:
                self._tell(entry, server)
                with writing(self.path / _TOLD), (self.path / _TOLD).open("ab") as stream:
                    stream.write(b".")
            told += len(waiting)
        return told

    def _find_runs(self, server: Server) -> None:
        """Find what MLflow calls the runs that it was told of; where that is not on record, it is told again."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            server.ids |= json.loads((self.path / _IDS).read_text(encoding="utf-8"))
        begun = [entry for entry in self._entries()[: self._told()] if entry["do"] == "start"]
        if self.waiting():
            for entry in begun:
                if entry["run"] not in server.ids:
                    self._tell(entry, server)

    def _tell(self, entry: Entry, server: Server) -> None:
        try:
            server.tell(entry, self.path / entry["file"] if "file" in entry else None)
        except Exception as error:
            if may_change(error) and not _fails_there(error):
                raise
            self.refuse(entry, error)
        if entry["do"] == "start" and entry["run"] in server.ids:
            with atomic_write(self.path / _IDS) as draft:
                draft.write_text(json.dumps(server.ids), encoding="utf-8")

    def close(self) -> int:
        """Let go, and remove what has been told, but for what MLflow refused; returns how much was not told."""
        waiting = len(self.waiting())
        if not waiting and not (self.path / _REFUSED).exists():
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()
        return waiting

    def _told(self) -> int:
        told = self.path / _TOLD
        return told.stat().st_size if told.exists() else 0


class Spool:
    """Tells MLflow; keeps what it cannot tell, and asks again every now and then.

    Args:
        folder: Where journals lie.
        uri: Of the store.
        offline: Keep everything, whether the store answers or not.
    """

    def __init__(self, folder: Path, uri: str, *, offline: bool = False) -> None:
        self.uri, self.offline = uri, offline
        self._journal = Journal(folder / f"{time.time_ns()}-{os.getpid()}", uri)
        self._ask_again: float | None = None  # None while the store answers
        self._telling = threading.Lock()

    @cached_property
    def server(self) -> Server:
        """The store, asked or not."""
        return Server(MlflowClient(self.uri))

    def tell(self, entry: Entry, file: Path | None = None) -> str:
        """Tell an entry, or keep it; returns what to call its run from now on."""
        try:
            if self._answers():
                return self.server.tell(entry, file)
        except Exception as error:
            if is_rejected(error) and entry["do"] != "start":  # no training should die of it
                self._journal.refuse(entry, error, file)
                return str(entry["run"])
            if not may_change(error) or not (file is None or file.exists()):
                raise
            self._lose(error)
        self.keep(entry, file)
        return str(entry["run"])

    def keep(self, entry: Entry, file: Path | None = None) -> None:
        """Let an entry wait, without asking the store."""
        self._journal.append(entry, file)

    def close(self) -> int:
        """Tell what waits, if the store answers now; returns how much MLflow was not told."""
        if self._ask_again is not None or self._journal.waiting():
            self._ask_again = 0.0
        try:
            self._answers()
        except Exception as error:
            if not may_change(error):
                raise
        return self._journal.close()

    def _answers(self) -> bool:
        """Whether to tell the store anything now: what waits goes first, and after a failure there is a pause."""
        if self.offline:
            return False
        if self._ask_again is None:
            return True
        if time.monotonic() < self._ask_again or not self._telling.acquire(blocking=False):
            return False
        try:
            told = self._journal.tell(self.server)
        finally:
            self._telling.release()
        self._ask_again = None
        logger.info("MLflow at %s is back: told %d things that had waited", self.uri, told)
        return True

    def _lose(self, error: Exception) -> None:
        if self._ask_again is None:
            reason = str(error).partition("\n")[0][:200]
            logger.warning(
                "MLflow at %s does not answer; the run goes on, and what it logs waits in %s (%s)",
                self.uri,
                self._journal.path,
                reason,
            )
        self._ask_again = time.monotonic() + PAUSE


def _fails_there(error: Exception) -> bool:
    """Whether MLflow itself answered that it failed: told again, it would for ever, and hold up what comes after."""
    return isinstance(error, RestException) and error.error_code == "INTERNAL_ERROR"


def replay(folder: Path, uri: str | None = None) -> tuple[int, int]:
    """Tell what ended processes left waiting.

    Args:
        folder: Where journals lie.
        uri: Only those for this store; None: all.

    Returns:
        How many entries were told, and how many still wait because their server does not answer.
    """
    told, waiting = 0, 0
    for path in sorted(folder.glob("[0-9]*")):
        if not (path / "uri").is_file():
            continue
        journal = Journal(path)
        with journal.held() as free:
            if not free or uri not in (None, journal.uri):
                continue
            before = len(journal.waiting())
            try:
                told += journal.tell(Server(MlflowClient(journal.uri)))
            except Exception as error:
                if not may_change(error):
                    raise
                left = len(journal.waiting())
                told, waiting = told + before - left, waiting + left
                continue
            journal.close()
    return told, waiting
