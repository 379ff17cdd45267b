"""Read the files of a scan in worker processes, on this machine or through a joblib backend."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from goodbad_pipeline.images.paths import FileContent, Store
from goodbad_pipeline.images.reading import Limits, Outcome, ReadSettings, Task
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.worker_backend import WorkerBackend
from goodbad_pipeline.images.worker_process import OUT_OF_MEMORY_STATUS

WORKER = "goodbad_pipeline.images.worker_process"
AT_ONCE = 8  # files of a store that a thread reads at once
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc: keep the memory of one image for the next,
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),  # which saves a tenth of the time per image
}


class Stop(Protocol):
    """A stop request, which another thread may set at any time."""

    def is_set(self) -> bool:
        """Return whether a stop is requested."""
        ...

    def check(self, where: str) -> None:
        """Raise an error if a stop is requested."""


def read_batches(
    batches: Iterable[list[Task]], settings: ReadSettings, backend: WorkerBackend, stop: Stop | None = None
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of each batch, in order, while later batches are read.

    After a stop request, no further file of a store is read, and a batch has only the outcomes of the files that were
    already read.

    Each thread of this process, or each task of a remote backend, controls one worker process. If a file makes a worker
    process crash, the cluster's own processes survive.

    Raises:
        InputError: The backend does not exist, cannot be reached, or fails.
    """
    try:
        # With a store, half of the threads wait for contents while the others wait for decoders.
        threads = 2 if isinstance(settings.root, Store) else 1
        left = takewhile(lambda _: stop is None or not stop.is_set(), batches)
        sent = stop if backend.is_local else None  # a stop request cannot be sent to another machine
        calls = ((batch, _sent(settings, batch), sent) for batch in left)
        yield from backend.map(read_batch, calls, threads_per_core=threads)
    finally:
        close_idle_workers()


def _sent(settings: ReadSettings, batch: list[Task]) -> ReadSettings:
    if isinstance(settings.root, Store):
        return replace(settings, root=settings.root.only([task.path for task in batch]))
    return settings


class WorkerLostError(Exception):
    """A worker process ended before it sent all outcomes. The argument is its exit status."""


class Worker:
    """A process that reads files; see :mod:`~goodbad_pipeline.images.worker_process`."""

    def __init__(self, settings: ReadSettings) -> None:
        self.settings = settings
        own_end, worker_end = socket.socketpair()
        with worker_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(worker_end.fileno())],
                pass_fds=[worker_end.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = Connection(own_end.detach())
        self._connection.send(settings)
        try:
            self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self.close()
            raise RuntimeError(f"a worker process could not start (status {self._process.returncode})") from error

    def read(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each task, in order.

        Raises:
            WorkerLostError: The process ended before it sent all outcomes.
        """
        try:
            self._connection.send(tasks)
            for _ in tasks:
                yield self._connection.recv()
        except (EOFError, ConnectionError):
            self._connection.close()
            raise WorkerLostError(self._process.wait()) from None

    def close(self) -> None:
        """Close the connection and wait until the process has ended."""
        self._connection.close()
        self._process.wait()


_idle: list[Worker] = []  # shared by threads; pop and append are atomic


def read_batch(tasks: list[Task], settings: ReadSettings, stop: Stop | None = None) -> list[Outcome]:
    """Read files in a worker process, which is kept for the next batch; see :func:`read_batches`.

    If the worker ends, a new worker reads the current file again, alone: an earlier file may have caused the damage.
    Files of a store are read in this process, and a worker process decodes the content.
    """
    root, local = settings.root, replace(settings, root=Path())
    if not isinstance(root, Store):
        return [] if stop is not None and stop.is_set() else _read_in_worker(tasks, settings)
    parts = _with_contents(tasks, root, settings.limits, stop)
    return [outcome for part in parts for outcome in _read_in_worker(part, local)]


def _with_contents(tasks: list[Task], store: Store, limits: Limits, stop: Stop | None) -> Iterator[list[Task]]:
    """Read the files of ``tasks`` and yield the tasks with the file contents, in batches.

    The files of a batch take at most an eighth of the memory limit, but a larger file is a batch of its own.
    """

    def read(task: Task) -> FileContent:
        return store.read(task.path, limits.memory // 4)  # receiving takes twice the memory

    part: list[Task] = []
    left = limits.memory // 8
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(tasks), AT_ONCE):
            if stop is not None and stop.is_set():
                break
            some = tasks[start : start + AT_ONCE]
            for task, file in zip(some, pool.map(read, some), strict=True):
                size = len(file.content) if isinstance(file.content, bytes) else 0
                if part and size > left:
                    yield part
                    part, left = [], limits.memory // 8
                part.append(replace(task, content=file))
                left -= size
    yield part


def _read_in_worker(tasks: list[Task], settings: ReadSettings) -> list[Outcome]:
    outcomes: list[Outcome] = []
    while len(outcomes) < len(tasks):
        worker = _idle_or_new_worker(settings)
        try:
            for outcome in worker.read(tasks[len(outcomes) :]):
                outcomes.append(outcome)  # noqa: PERF402 - keep outcomes received before the worker ends
            _idle.append(worker)
        except WorkerLostError:
            outcomes.append(_read_alone(tasks[len(outcomes)], settings))
    return outcomes


def close_idle_workers() -> None:
    """End the idle worker processes of this process."""
    while _idle:
        _idle.pop().close()


def _read_alone(task: Task, settings: ReadSettings) -> Outcome:
    """Read a file in a new worker. If that worker crashes, compute only the hash of the file, in another worker."""
    try:
        return _read_in_new_worker(replace(task, image_id=None), settings)
    except WorkerLostError as lost:
        rejection = _reject(lost.args[0], settings.limits)
    try:
        return _read_in_new_worker(replace(task, image_id=None, rejection=rejection), settings)
    except WorkerLostError:
        return Outcome(rejection)


def _reject(status: int, limits: Limits) -> Rejection:
    if status == -signal.SIGALRM:
        return Rejection(Reason.TIMEOUT, f"not read within images.scan.timeout, {limits.seconds:g} s")
    if status == OUT_OF_MEMORY_STATUS:
        return Rejection(Reason.OUT_OF_MEMORY, f"needs more memory than images.scan.memory, {limits.memory >> 20} MiB")
    cause = signal.Signals(-status).name if status < 0 else f"status {status}"
    return Rejection(Reason.CRASHED, f"the worker process ended ({cause})")


def _read_in_new_worker(task: Task, settings: ReadSettings) -> Outcome:
    worker = Worker(settings)
    outcome = next(worker.read([task]))
    worker.close()
    return outcome


def _idle_or_new_worker(settings: ReadSettings) -> Worker:
    while _idle:
        worker = _idle.pop()
        if worker.settings == settings:
            return worker
        worker.close()
    return Worker(settings)
