"""Read files in another process, so that a file that hangs, crashes or bursts the decoder costs itself alone."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection

from goodbad_pipeline.images.reading import Outcome, ReadSettings, Task
from goodbad_pipeline.images.reasons import Reason, SetAside
from goodbad_pipeline.images.worker import OUT_OF_MEMORY_STATUS

WORKER = "goodbad_pipeline.images.worker"
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc: keep the memory of one picture for the next,
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),  # which takes a tenth off the time of each
}


class WorkerLostError(Exception):
    """The worker ended before it answered."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def blame(self, settings: ReadSettings) -> SetAside:
        """Say what the file that it was at did to it."""
        limits = settings.limits
        if self.status == -signal.SIGALRM:
            return SetAside(Reason.TIMEOUT, f"not read within images.scan.timeout, {limits.seconds:g} s")
        if self.status == OUT_OF_MEMORY_STATUS:
            return SetAside(Reason.OUT_OF_MEMORY, f"takes over images.scan.memory, {limits.memory >> 20} MiB")
        how = signal.Signals(-self.status).name if self.status < 0 else f"status {self.status}"
        return SetAside(Reason.CRASHED, f"the decoder's process ended ({how})")


class Worker:
    """A process that reads files for this one; see :mod:`~goodbad_pipeline.images.worker`."""

    def __init__(self, settings: ReadSettings) -> None:
        self.settings = settings
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = Connection(ours.detach())
        self._connection.send(settings)
        try:
            self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self.close()
            raise RuntimeError(f"a worker could not start (status {self._process.returncode})") from error

    def read(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each task, in order.

        Raises:
            WorkerLostError: The process ended over the first task that has no outcome yet.
        """
        try:
            self._connection.send(tasks)
            for _ in tasks:
                yield self._connection.recv()
        except (EOFError, ConnectionError):
            self._connection.close()
            raise WorkerLostError(self._process.wait()) from None

    def close(self) -> None:
        """Let the process end."""
        self._connection.close()
        self._process.wait()


_idle: list[Worker] = []  # pop and append are atomic: threads share it


def read_batch(tasks: list[Task], settings: ReadSettings) -> list[Outcome]:
    """Read files in a worker process of this one; it stays for the next batch.

    Whichever file a worker ends over is tried once more alone in a new one: the damage may have been an earlier file's.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(tasks):
        worker = _take(settings)
        try:
            for outcome in worker.read(tasks[len(outcomes) :]):
                outcomes.append(outcome)  # noqa: PERF402 - what came before the worker's end counts
            _idle.append(worker)
        except WorkerLostError:
            outcomes.append(_read_alone(tasks[len(outcomes)].path, settings))
    return outcomes


def dismiss_workers() -> None:
    """End the idle worker processes of this one."""
    while _idle:
        _idle.pop().close()


def _read_alone(path: str, settings: ReadSettings) -> Outcome:
    """Read one file in a worker of its own; if that ends too, let another one hash it and no more."""
    try:
        return _ask_new_worker(Task(path), settings)
    except WorkerLostError as lost:
        blame = lost.blame(settings)
    try:
        return _ask_new_worker(Task(path, blame=blame), settings)
    except WorkerLostError:
        return Outcome(blame)


def _ask_new_worker(task: Task, settings: ReadSettings) -> Outcome:
    worker = Worker(settings)
    outcome = next(worker.read([task]))
    worker.close()
    return outcome


def _take(settings: ReadSettings) -> Worker:
    while _idle:
        worker = _idle.pop()
        if worker.settings == settings:
            return worker
        worker.close()
    return Worker(settings)
