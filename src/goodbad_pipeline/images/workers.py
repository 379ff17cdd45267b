"""Where the files of a scan are read: in processes of this machine, or wherever a joblib backend puts them."""

import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from joblib import Parallel, delayed, parallel_config

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.reading import Outcome, ReadSettings, Task
from goodbad_pipeline.images.reasons import Reason, Rejection
from goodbad_pipeline.images.worker import OUT_OF_MEMORY_STATUS
from goodbad_pipeline.secrecy import redact, reveal_secrets

LOCAL = "local"
_REGISTRATIONS = {"ray": ("ray.util.joblib", "register_ray"), "spark": ("joblibspark", "register_spark")}


@dataclass(frozen=True)
class Engine:
    """Who reads.

    Attributes:
        name: ``local``, or a backend that joblib knows (dask) or that registers itself with it (ray, spark). Each of
            its workers must see the same files under the same paths, and have this package installed.
        options: What the backend takes, such as Dask's ``scheduler_host``; secrets as ``SecretStr``.
        workers: Files read at a time; None for what the machine or cluster has cores.
    """

    name: str = LOCAL
    options: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None


def read_batches(batches: Iterable[list[Task]], settings: ReadSettings, engine: Engine) -> Iterator[list[Outcome]]:
    """Yield the outcomes of each batch, in order, while later ones are read.

    Locally, threads of this process wait for one worker process each. Elsewhere a task of the backend does the same:
    whatever a file does to its worker process, the cluster's own stay alive.

    Raises:
        InputError: There is no such backend, or it cannot be reached.
    """
    with _discreet(engine), _backend(engine):
        parallel = Parallel(return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
        try:
            yield from parallel(delayed(read_batch)(batch, settings) for batch in batches)
        finally:
            dismiss_workers()


def _backend(engine: Engine) -> parallel_config:
    workers = engine.workers or -1
    if engine.name == LOCAL and not engine.options:
        return parallel_config("threading", n_jobs=workers)
    try:
        if engine.name in _REGISTRATIONS:
            module, function = _REGISTRATIONS[engine.name]
            getattr(importlib.import_module(module), function)()
        return parallel_config(engine.name, n_jobs=workers, **reveal_secrets(engine.options))
    except (ImportError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"images.scan.engine: must be local or a joblib backend that can be reached, got '{engine.name}' with "
            f"engine_options {engine.options} ({error})"
        ) from error


@contextmanager
def _discreet(engine: Engine) -> Iterator[None]:
    """Let no error tell what of the options is secret, not even as the cause of another."""
    try:
        yield
    except Exception as error:
        told = redact(str(error), engine.options)
        if told == str(error):
            raise
        raise InputError(f"images.scan.engine: '{engine.name}' failed ({told})") from None


WORKER = "goodbad_pipeline.images.worker"
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc: keep the memory of one image for the next,
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),  # which takes a tenth off the time of each
}


class WorkerLostError(Exception):
    """The worker ended before it answered."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def blame(self, settings: ReadSettings) -> Rejection:
        """Say what the file that it was at did to it."""
        limits = settings.limits
        if self.status == -signal.SIGALRM:
            return Rejection(Reason.TIMEOUT, f"not read within images.scan.timeout, {limits.seconds:g} s")
        if self.status == OUT_OF_MEMORY_STATUS:
            return Rejection(Reason.OUT_OF_MEMORY, f"takes over images.scan.memory, {limits.memory >> 20} MiB")
        how = signal.Signals(-self.status).name if self.status < 0 else f"status {self.status}"
        return Rejection(Reason.CRASHED, f"the decoder's process ended ({how})")


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
