"""The run that is under way, and what can be told of it."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import mlflow
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from goodbad_pipeline.tracking.outbox import Spool
from goodbad_pipeline.tracking.server import KILLED, LOCAL, Entry, Server, local_id, now
from goodbad_pipeline.training.stopping import Stopped

_CHILD: ContextVar[str | None] = ContextVar("child", default=None)


class _UnderWay:
    """The run of this process: MLflow's own active run is another in every thread, and asks the server."""

    run: str | None = None
    spool: Spool | None = None


def begin(spool: Spool, run: str) -> None:
    """Make a run the one that is under way."""
    _UnderWay.run, _UnderWay.spool = run, spool


def start_offline(spool: Spool, experiment: str, creation: Mapping[str, Any], name: str, tags: dict[str, str]) -> str:
    """Begin a run that MLflow will be told of later; returns what to call it until then."""
    entry = {"do": "start", "run": local_id(), "at": now(), "name": name, "tags": tags, "parent": None}
    return spool.tell({**entry, "experiment": experiment, "creation": dict(creation)})


def current_run() -> str | None:
    """Name of the run that what is logged now belongs to; None where there is none."""
    run = _CHILD.get() or _UnderWay.run
    if run is None and (active := mlflow.active_run()) is not None:
        return str(active.info.run_id)
    return run


def log_metrics(metrics: Mapping[str, float], step: int = 0, *, once: bool = False) -> None:
    """Log metrics under a step; with ``once``, leave out what the run held already when it was continued."""
    at = now()
    _tell({"do": "log", "metrics": [[name, float(value), at, step] for name, value in metrics.items()], "once": once})


def log_params(params: Mapping[str, Any]) -> None:
    """Log parameters, as far as MLflow takes their length."""
    _tell({"do": "log", "params": {name: str(value)[:MAX_PARAM_VAL_LENGTH] for name, value in params.items()}})


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set tags."""
    _tell({"do": "log", "tags": {name: str(value) for name, value in tags.items()}})


def log_file(file: Path, folder: str | None = None) -> None:
    """Log a file, or a folder, under a folder of the run's artifacts."""
    _tell({"do": "file", "folder": folder}, file)


def log_input(dataset: Mapping[str, str], context: str) -> None:
    """Log what a run was made from, as ``mlflow.data.Dataset.to_dict`` describes it."""
    _tell({"do": "input", "dataset": dict(dataset), "context": context})


@contextlib.contextmanager
def child_run(name: str, tags: Mapping[str, str]) -> Iterator[None]:
    """Open a child of the run under way: what is logged meanwhile belongs to that. Without a run it does nothing."""
    parent = current_run()
    if parent is None:
        yield
        return
    entry = {"do": "start", "run": local_id(), "at": now(), "name": name, "tags": dict(tags), "parent": parent}
    token = _CHILD.set(_spool_tell(entry))
    try:
        yield
        _end("FINISHED")
    except BaseException as error:
        _end(KILLED if isinstance(error, Stopped) else "FAILED")
        raise
    finally:
        _CHILD.reset(token)


def leave_run() -> None:
    """Let the run go on without us: whoever began it will end it."""
    _UnderWay.run = _UnderWay.spool = None


def end_run(status: str) -> int:
    """End the run under way, if there is one; returns how much MLflow has still to be told."""
    if _UnderWay.run is None or _UnderWay.spool is None:
        return 0
    _end(status)
    waiting = _UnderWay.spool.close()
    leave_run()
    if mlflow.active_run() is not None:
        with contextlib.suppress(Exception):  # it has been told, or will be: this is for MLflow's own memory
            mlflow.end_run(status)
    return waiting


def cut_off_run(status: str, seconds: float) -> None:
    """End the run under way within some seconds: what MLflow has not taken by then waits to be told."""
    run, spool = _UnderWay.run, _UnderWay.spool
    if run is None or spool is None:
        return
    ending = threading.Thread(target=end_run, args=(status,), daemon=True)
    ending.start()
    ending.join(seconds)
    if ending.is_alive():  # it is no harm if MLflow hears of it twice
        spool.keep({"do": "end", "run": run, "status": status, "at": now()})


@contextlib.contextmanager
def served_run() -> Iterator[str]:
    """Make the run under way MLflow's own active run of this thread, for what only MLflow's functions can log.

    Raises:
        ConnectionError: MLflow does not answer, or knows nothing of this run yet.
    """
    if (active := mlflow.active_run()) is not None:
        yield str(active.info.run_id)
        return
    run, spool = current_run(), _UnderWay.spool
    run = run if run is None or spool is None else spool.server.run_id(run)
    if run is None or run.startswith(LOCAL):
        raise ConnectionError("MLflow does not know this run yet")
    mlflow.start_run(run)
    try:
        yield run
    finally:
        mlflow.end_run("RUNNING")


def _end(status: str) -> None:
    _tell({"do": "end", "status": status, "at": now()})


def _tell(entry: Entry, file: Path | None = None) -> None:
    run = current_run()
    if run is not None:
        _spool_tell({**entry, "run": run}, file)


def _spool_tell(entry: Entry, file: Path | None = None) -> str:
    if _UnderWay.spool is None:  # somebody else began the run, and wants to hear of errors
        return Server(mlflow.MlflowClient()).tell(entry, file)
    return _UnderWay.spool.tell(entry, file)
