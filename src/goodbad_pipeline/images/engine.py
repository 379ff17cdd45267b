"""Where the files of a scan are read: in processes of this machine, or wherever a joblib backend puts them."""

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from joblib import Parallel, delayed, parallel_config

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.isolation import dismiss_workers, read_batch
from goodbad_pipeline.images.reading import Outcome, ReadSettings, Task
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
