"""Run functions in worker processes of a joblib backend, such as Dask, Ray or Spark."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from joblib import Parallel, cpu_count, delayed, effective_n_jobs, parallel_config, register_parallel_backend
from joblib.parallel import BACKENDS, EXTERNAL_BACKENDS, get_active_backend

from goodbad_pipeline.errors import InputError, install_command
from goodbad_pipeline.secrecy import redact, reveal_secrets

T = TypeVar("T")

LOCAL = "local"
_WINDOW_SECONDS = 20.0  # approximate time of a list of calls, for backends that return a whole list at once
_NO_MODULE = re.compile(r"No module named '?([\w.]+)")
_DIED = re.compile(r"KilledWorker|TerminatedWorker|ActorDied|WorkerCrashed|exited unexpectedly|ExecutorLost")
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception): (?!Traceback).+", re.MULTILINE)
_DETAIL = 300  # characters of an error in a message


class _Package(NamedTuple):
    module: str
    extra: str  # of this project, which installs the module


_PACKAGES = {
    "dask": _Package("distributed", "cluster"),
    "ray": _Package("ray.util.joblib", "ray"),
    "spark": _Package("joblibspark.backend", "spark"),
}


@dataclass(frozen=True)
class WorkerBackend:
    """Where functions run: ``local`` (threads of this process), or a joblib backend such as ``dask`` or ``spark``.

    Every machine of a backend needs this package, and the same files under the same paths.
    """

    name: str = LOCAL
    options: dict[str, Any] = field(default_factory=dict)  # such as Dask's ``scheduler_host``; secrets as ``SecretStr``
    workers: int | None = None  # number of worker processes; None for one per core
    parameter: str = "images.scan.engine"  # for error messages

    @property
    def is_local(self) -> bool:
        """True if no joblib backend is used."""
        return self.name == LOCAL and not self.options

    def register(self) -> None:
        """Register the backend with joblib if needed; raise an InputError if its package is not installed."""
        package = _PACKAGES.get(self.name)
        if package is None:
            return
        try:
            module = import_module(package.module)
        except ImportError as error:
            raise InputError(
                f"{self.parameter}: '{self.name}' needs a package that is not installed ({error}); "
                f"{install_command(package.extra)}"
            ) from error
        if self.name == "dask":
            EXTERNAL_BACKENDS["dask"]()  # sets BACKENDS["dask"]
            register_parallel_backend("dask", _raise_lost_tasks(BACKENDS["dask"]))
        elif self.name == "ray":
            module.register_ray()
        elif self.name == "spark":
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # by default, workers run the first python3 of PATH
            register_parallel_backend("spark", _raise_errors(module.SparkDistributedBackend))

    def map(
        self, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]], *, threads_per_core: int = 1
    ) -> Iterator[T]:
        """Yield the results of ``function``, in the order of ``arguments``, while later calls run.

        Raises:
            InputError: The backend does not exist, cannot be reached, or fails.
        """
        try:
            with self._configure(threads_per_core):
                _require_module(function.__module__)
                yield from _run(delayed(function)(*one) for one in arguments)
        except Exception as error:
            text = _chain_text(error)
            redacted = redact(text, self.options)
            if redacted == text and (self.is_local or isinstance(error, InputError)):
                raise
            detail = redact(str(error), self.options) if isinstance(error, InputError) else _describe(redacted)
            # Without a cause if the original error shows secrets
            cause = error if redacted == text else None
            raise InputError(f"{self.parameter}: '{self.name}' failed ({detail})") from cause

    def _configure(self, threads_per_core: int) -> parallel_config:
        if self.is_local:
            return parallel_config("threading", n_jobs=(self.workers or cpu_count()) * threads_per_core)
        self.register()
        try:
            return parallel_config(self.name, n_jobs=self.workers or -1, **reveal_secrets(self.options))
        except (ImportError, ValueError, TypeError, OSError) as error:
            raise InputError(
                f"{self.parameter}: must be local or a joblib backend that can be reached, got '{self.name}' with "
                f"engine_options {self.options} ({error})"
            ) from error


def _run(calls: Iterator[Any]) -> Iterator[Any]:
    options = {"batch_size": 1, "pre_dispatch": "2*n_jobs"}
    try:
        parallel = Parallel(return_as="generator", **options)
    except ValueError:  # Ray and Spark return lists only
        with Parallel(**options) as parallel:  # keeps the processes between the lists
            size = 2 * effective_n_jobs(-1)
            while window := list(islice(calls, size)):
                start = time.monotonic()
                results = parallel(window)
                if time.monotonic() - start < _WINDOW_SECONDS:
                    size *= 2
                yield from results
    else:
        yield from parallel(calls)


def _require_module(name: str) -> None:
    """Raise a ModuleNotFoundError if a Dask worker cannot import a module. Without this check, Dask would hang."""
    backend, _ = get_active_backend()
    if (client := getattr(backend, "client", None)) is not None:
        client.run(exec, f"import {name}")


def _raise_lost_tasks(backend: Any) -> Any:
    """Return joblib's backend for Dask, changed to raise an error for a task that Dask gives up.

    joblib 1.6 hangs if the workers of a task have died.
    """

    class DaskBackend(backend):
        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return DaskBackend


def _raise_errors(backend: Any) -> Any:
    """Return joblibspark's backend, changed to raise the errors of Spark.

    joblibspark 0.6 returns an error as a result, and then raises an AttributeError with joblib 1.5 and later.
    """

    class SparkBackend(backend):
        def retrieve_result(self, out: Any, timeout: float | None = None) -> Any:
            result = super().retrieve_result(out, timeout)
            if isinstance(error := getattr(result, "exc", None), Exception):
                raise error
            return result

        def abort_everything(self, ensure_ready: bool = True) -> None:
            self.terminate()

    return SparkBackend


def _chain_text(error: BaseException) -> str:
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    return "\n".join(f"{type(one).__name__}: {one}" for one in chain)


def _describe(text: str) -> str:
    """Return the most informative line of an error, with advice for known causes."""
    if missing := _NO_MODULE.search(text):
        return f"its workers cannot import {missing[1]}; install this package, with the same versions, on every machine"
    if _DIED.search(text):
        return f"a worker process ended, perhaps for lack of memory: {text.splitlines()[0][:_DETAIL]}"
    lines = _ERROR.findall(text) or text.splitlines()  # the last line is the worker's error
    return lines[-1][:_DETAIL]
