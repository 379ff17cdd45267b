"""The current run, and functions that log to it."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import mlflow
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from goodbad_pipeline.tracking.outbox import Outbox
from goodbad_pipeline.tracking.server import KILLED, LOCAL, Entry, Server, local_id, now
from goodbad_pipeline.training.stopping import Stopped

MAIN_METRICS = ("test_accuracy", "test_balanced_accuracy", "test_roc_auc", "test_log_loss")
"""The most important metrics of a model, which have a section of their own in MLflow."""
MAIN_CURVES = ("loss", "val_loss", "accuracy", "val_accuracy")
MAIN = "main/"
SECTIONS = {
    "baseline_": "test baselines/",
    "calibration_": "test calibration/",
    "leak_": "split leaks/",
    "review_": "label review/",
    "test_": "test/",
    "uncalibrated_": "test uncalibrated/",
    "val_": "validation/",
}
"""The section in MLflow of each metric, by the beginning of the metric's name, except for the main metrics.

MLflow groups metrics by the text before the slash and sorts these sections by name; metrics without a slash come last.
The main metrics are logged twice: in the section `MAIN`, and without a section, to search and compare runs by name.
"""
_CHILD: ContextVar[str | None] = ContextVar("child", default=None)


class _Current:
    """The current run, shared by all threads of this process; MLflow's own active run is separate in each thread."""

    run: str | None = None
    outbox: Outbox | None = None


def begin_run(outbox: Outbox, run: str) -> None:
    """Make ``run`` the current run."""
    _Current.run, _Current.outbox = run, outbox


def start_offline_run(
    outbox: Outbox, experiment: str, creation: Mapping[str, Any], name: str, tags: dict[str, str]
) -> str:
    """Start a run whose entries are all stored in the outbox. Return the local id of the run."""
    entry = {"do": "start", "run": local_id(), "at": now(), "name": name, "tags": tags, "parent": None}
    return outbox.send({**entry, "experiment": experiment, "creation": dict(creation)})


def current_run() -> str | None:
    """Return the id of the current run, or None outside a run."""
    run = _CHILD.get() or _Current.run
    if run is None and (active := mlflow.active_run()) is not None:
        return str(active.info.run_id)
    return run


def log_metrics(metrics: Mapping[str, float], step: int = 0, *, once: bool = False) -> None:
    """Log metrics at a step. With ``once``, do not log metrics again that a resumed run logged earlier.

    In MLflow, the name of a metric begins with a section (see `SECTIONS`); `plain_name` removes the section.
    """
    at = now()
    rows = [[shown, float(value), at, step] for name, value in metrics.items() for shown in _shown_names(name)]
    _log({"do": "log", "metrics": rows, "once": once})


def plain_name(metric: str) -> str:
    """Return the name of a metric without the section that `log_metrics` adds."""
    for prefix, section in {"": MAIN, **SECTIONS}.items():
        if metric.startswith(section):
            return prefix + metric.removeprefix(section)
    return metric


def log_params(params: Mapping[str, Any]) -> None:
    """Log parameters, truncated to the length that MLflow allows."""
    _log({"do": "log", "params": {name: str(value)[:MAX_PARAM_VAL_LENGTH] for name, value in params.items()}})


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set tags of the current run."""
    _log({"do": "log", "tags": {name: str(value) for name, value in tags.items()}})


def log_file(file: Path, folder: str | None = None) -> None:
    """Log a file or folder as an artifact, inside ``folder`` of the run's artifacts if given."""
    _log({"do": "file", "folder": folder}, file)


def log_input(dataset: Mapping[str, str], context: str) -> None:
    """Log a dataset, in the form of ``mlflow.data.Dataset.to_dict``, as an input of the run."""
    _log({"do": "input", "dataset": dict(dataset), "context": context})


@contextlib.contextmanager
def child_run(name: str, tags: Mapping[str, str]) -> Iterator[None]:
    """Open a child run, which is the current run inside the context. Do nothing if there is no current run."""
    parent = current_run()
    if parent is None:
        yield
        return
    entry = {"do": "start", "run": local_id(), "at": now(), "name": name, "tags": dict(tags), "parent": parent}
    token = _CHILD.set(_send(entry))
    try:
        yield
        _log_end("FINISHED")
    except BaseException as error:
        _log_end(KILLED if isinstance(error, Stopped) else "FAILED")
        raise
    finally:
        _CHILD.reset(token)


def leave_run() -> None:
    """Stop logging to the current run without ending it; the code that started the run will end it."""
    _Current.run = _Current.outbox = None


def end_run(status: str) -> int:
    """End the current run, if there is one. Return the number of entries that wait in the outbox for MLflow."""
    run, outbox = _Current.run, _Current.outbox  # read once, because another thread may end the run
    if run is None or outbox is None:
        return 0
    outbox.send({"do": "end", "run": run, "status": status, "at": now()})
    waiting = outbox.close()
    leave_run()
    if mlflow.active_run() is not None:
        with contextlib.suppress(Exception):  # this resets MLflow's own state; the entry above has ended the run
            mlflow.end_run(status)
    return waiting


def end_run_within(status: str, seconds: float) -> None:
    """End the current run; entries that MLflow has not accepted after ``seconds`` remain in the outbox."""
    run, outbox = _Current.run, _Current.outbox
    if run is None or outbox is None:
        return
    ending = threading.Thread(target=end_run, args=(status,), daemon=True)
    ending.start()
    ending.join(seconds)
    if ending.is_alive():  # the next run may send the entry again, which is safe
        outbox.store({"do": "end", "run": run, "status": status, "at": now()})


@contextlib.contextmanager
def activate_run() -> Iterator[str]:
    """Make the current run MLflow's active run in this thread, for MLflow functions that log by themselves.

    Raises `ConnectionError` if MLflow does not have this run yet.
    """
    if (active := mlflow.active_run()) is not None:
        yield str(active.info.run_id)
        return
    run, outbox = current_run(), _Current.outbox
    run = run if run is None or outbox is None else outbox.server.run_id(run)
    if run is None or run.startswith(LOCAL):
        raise ConnectionError("MLflow has not received the start of this run yet")
    mlflow.start_run(run)
    try:
        yield run
    finally:
        mlflow.end_run("RUNNING")


def _shown_names(metric: str) -> list[str]:
    if metric in MAIN_METRICS or metric in MAIN_CURVES:
        return [metric, MAIN + metric]
    sections = (
        section + metric.removeprefix(prefix) for prefix, section in SECTIONS.items() if metric.startswith(prefix)
    )
    return [next(sections, metric)]


def _log_end(status: str) -> None:
    _log({"do": "end", "status": status, "at": now()})


def _log(entry: Entry, file: Path | None = None) -> None:
    run = current_run()
    if run is not None:
        _send({**entry, "run": run}, file)


def _send(entry: Entry, file: Path | None = None) -> str:
    outbox = _Current.outbox  # read once, because another thread may end the run
    if outbox is None:  # no run was begun by begin_run: send without an outbox, so that errors are raised
        return Server(mlflow.MlflowClient()).send(entry, file)
    return outbox.send(entry, file)
