"""The outbox: entries that a run logs while MLflow is unavailable are stored on disk and sent later, in order."""

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import writing
from goodbad_pipeline.tracking.server import Entry, Server, is_rejected, is_temporary

logger = logging.getLogger(__name__)

OUTBOX_FOLDER = Path("data", ".spool")  # in a project; the folder's name is older than the term outbox
RETRY_SECONDS = 30.0
_URI, _ENTRIES, _SENT, _RUN_IDS, _REJECTED = "uri", "entries.jsonl", "told", "ids.json", "refused.jsonl"


class EntryQueue:
    """Entries of one process that are stored on disk, in the order in which they were logged.

    After an entry is sent, one byte is added to the file ``told``. If the process is killed before the byte is added,
    the entry is sent again. MLflow stores the entry only once (see :mod:`goodbad_pipeline.tracking.server`).
    """

    def __init__(self, path: Path, uri: str | None = None) -> None:
        self.path = path  # a folder, which need not exist
        self.uri = uri if uri is not None else (path / _URI).read_text(encoding="utf-8")
        self.lock = FileLock(path / ".lock", timeout=0, thread_local=False)  # shared by the threads of a process

    def append(self, entry: Entry, file: Path | None = None) -> None:
        """Store an entry and, if it logs a file, a copy of that file."""
        with writing(self.path / _ENTRIES):
            entry = self._copy_file(entry, file)
            with (self.path / _ENTRIES).open("ab+") as stream:
                self._cut_fragment(stream)
                stream.write(json.dumps(entry).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())

    def reject(self, entry: Entry, error: Exception, file: Path | None = None) -> None:
        """Keep a rejected entry, a copy of its file, and the error for the user."""
        logger.warning("MLflow rejected an entry, which is kept in %s: %s", self.path, error)
        with writing(self.path / _REJECTED):
            entry = self._copy_file(entry, file)
            with (self.path / _REJECTED).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**entry, "refused": str(error)}) + "\n")

    def pending(self) -> list[Entry]:
        """Return the entries that have not been sent yet."""
        return self._entries()[self._sent() :]

    def send(self, server: Server) -> int:
        """Send all pending entries and return their number. After an error, unsent entries are still pending."""
        sent = 0
        self._find_run_ids(server)
        while pending := self.pending():  # other threads may append entries meanwhile
            for entry in pending:
                self._send(entry, server)
                with writing(self.path / _SENT), (self.path / _SENT).open("ab") as stream:
                    stream.write(b".")
            sent += len(pending)
        return sent

    def close(self) -> int:
        """Release the lock, and remove the queue if no entry is pending. Return the number of pending entries."""
        pending = len(self.pending())
        if not pending and not (self.path / _REJECTED).exists():
            shutil.rmtree(self.path, ignore_errors=True)
        self.lock.release()
        return pending

    def _copy_file(self, entry: Entry, file: Path | None) -> Entry:
        """Copy the file of an entry into the queue, and return the entry with the path of the copy."""
        if not self.lock.is_locked:  # this is the first entry of the queue
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock.acquire()
            with atomic_write(self.path / _URI) as draft:
                draft.write_text(self.uri, encoding="utf-8")
        if file is None:
            return entry
        copy = self.path / "files" / str(time.time_ns()) / file.name
        copy.parent.mkdir(parents=True)
        (shutil.copytree if file.is_dir() else shutil.copy2)(file, copy)
        return {**entry, "file": str(copy.relative_to(self.path))}

    def _entries(self) -> list[Entry]:
        entries = []
        for line in self._lines().splitlines():
            with contextlib.suppress(ValueError):  # a line that a power cut damaged
                entries.append(json.loads(line))
        return entries

    def _lines(self) -> bytes:
        """Return all complete lines; the last line may be incomplete after a kill or on a full disk."""
        with contextlib.suppress(FileNotFoundError):
            content = (self.path / _ENTRIES).read_bytes()
            return content[: content.rfind(b"\n") + 1]
        return b""

    def _cut_fragment(self, stream: BinaryIO) -> None:
        """Remove an incomplete last line, because the next entry would be appended to it."""
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                stream.truncate(len(self._lines()))

    def _sent(self) -> int:
        sent = self.path / _SENT
        return sent.stat().st_size if sent.exists() else 0

    def _find_run_ids(self, server: Server) -> None:
        """Read the MLflow ids of the started runs.

        If an id was not recorded, send the start entry of the run again. The server then finds the run by its tag.
        """
        with contextlib.suppress(FileNotFoundError, ValueError):
            server.ids |= json.loads((self.path / _RUN_IDS).read_text(encoding="utf-8"))
        if self.pending():
            for entry in self._entries()[: self._sent()]:
                if entry["do"] == "start" and entry["run"] not in server.ids:
                    self._send(entry, server)

    def _send(self, entry: Entry, server: Server) -> None:
        try:
            server.send(entry, self.path / entry["file"] if "file" in entry else None)
        except Exception as error:
            # an internal error of MLflow would occur again and block the entries after this one
            failed = isinstance(error, RestException) and error.error_code == "INTERNAL_ERROR"
            if is_temporary(error) and not failed:
                raise
            self.reject(entry, error)
        if entry["do"] == "start" and entry["run"] in server.ids:
            with atomic_write(self.path / _RUN_IDS) as draft:
                draft.write_text(json.dumps(server.ids), encoding="utf-8")


class Outbox:
    """Sends entries to MLflow. While MLflow is unavailable, stores entries and retries every ``RETRY_SECONDS``.

    With ``offline``, all entries are stored without contacting MLflow.
    """

    def __init__(self, folder: Path, uri: str, *, offline: bool = False) -> None:
        self.uri, self.offline = uri, offline
        self._queue = EntryQueue(folder / f"{time.time_ns()}-{os.getpid()}", uri)
        self._retry_at: float | None = None  # None while MLflow is available
        self._sending = threading.Lock()

    @cached_property
    def server(self) -> Server:
        """The client of the MLflow server; creating it sends no request."""
        return Server(MlflowClient(self.uri))

    def send(self, entry: Entry, file: Path | None = None) -> str:
        """Send an entry, or store the entry if MLflow is unavailable. Return the run id for further entries."""
        try:
            if self._is_available():
                return self.server.send(entry, file)
        except Exception as error:
            if is_rejected(error) and entry["do"] != "start":  # a rejected entry is no reason to end a training
                self._queue.reject(entry, error, file)
                return str(entry["run"])
            if not is_temporary(error) or not (file is None or file.exists()):
                raise
            self._pause(error)
        self.store(entry, file)
        return str(entry["run"])

    def store(self, entry: Entry, file: Path | None = None) -> None:
        """Store an entry without trying to send it."""
        self._queue.append(entry, file)

    def close(self) -> int:
        """Send the pending entries if MLflow is available now. Return how many entries are still pending."""
        if self._retry_at is not None or self._queue.pending():
            self._retry_at = 0.0
        try:
            self._is_available()
        except Exception as error:
            if not is_temporary(error):
                raise
        return self._queue.close()

    def _is_available(self) -> bool:
        """Return whether to send an entry now. If the time to retry has come, send the pending entries first."""
        if self.offline:
            return False
        if self._retry_at is None:
            return True
        if time.monotonic() < self._retry_at or not self._sending.acquire(blocking=False):
            return False
        try:
            sent = self._queue.send(self.server)
        finally:
            self._sending.release()
        self._retry_at = None
        logger.info("MLflow at %s is available again; outbox entries sent: %d", self.uri, sent)
        return True

    def _pause(self, error: Exception) -> None:
        if self._retry_at is None:
            logger.warning(
                "MLflow at %s is unavailable (%s); the run continues, and everything that it logs is stored in %s",
                self.uri,
                str(error).partition("\n")[0][:200],
                self._queue.path,
            )
        self._retry_at = time.monotonic() + RETRY_SECONDS


def send_outbox(folder: Path, uri: str | None = None) -> tuple[int, int]:
    """Send the pending entries of processes that have ended, to all servers or to ``uri`` only.

    Return how many entries were sent, and how many are still pending because their server is unavailable.
    """
    sent, waiting = 0, 0
    for path in sorted(folder.glob("[0-9]*")):
        if not (path / _URI).is_file():
            continue
        queue = EntryQueue(path)
        if uri not in (None, queue.uri):
            continue
        with contextlib.suppress(Timeout), queue.lock:  # Timeout: the process that writes to the queue is running
            pending = len(queue.pending())
            try:
                queue.send(Server(MlflowClient(queue.uri)))
            except Exception as error:
                if not is_temporary(error):
                    raise
            remaining = queue.close()
            sent, waiting = sent + pending - remaining, waiting + remaining
    return sent, waiting
