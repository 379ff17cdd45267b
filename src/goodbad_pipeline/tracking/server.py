"""Entries, the plain values that say what MLflow is to be told, and the one place that tells it.

An entry names its run and carries its own times, so that it means the same whenever it is told; and each may be told
twice: what MLflow holds already is not doubled. (An answer that was lost looks like a request that was.)
"""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from goodbad_pipeline.errors import FULL, writing

Entry = dict[str, Any]

KILLED = "KILLED"
LOCAL = "local-"
LOCAL_TAG = "spool.local_id"
_OVERRUN = {"REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
_AWAY = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED"} | _OVERRUN
_AWAY_STATUS = {408, 425, 429, *range(500, 600)}
_SHUT = {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"}
_SHUT_STATUS = {401, 403, 407}
_STATUS = re.compile(r"failed with error code (\d+) !=")  # how MLflow tells what no MLflow server answered
_AT_ONCE = 100  # parameters that MLflow takes in one request; of metrics it takes more, and tags are few


def is_away(error: BaseException) -> bool:
    """Whether an error says that MLflow did not answer, or is in trouble or overrun, rather than that it said no."""
    status = _status(error)
    if status is not None:
        return status in _AWAY_STATUS
    if isinstance(error, MlflowException):
        return error.error_code in _AWAY
    return isinstance(error, requests.RequestException | ConnectionError | TimeoutError)


def is_shut(error: BaseException) -> bool:
    """Whether an error says that one may not do this, or not any more: a token may have run out."""
    code = error.error_code if isinstance(error, MlflowException) else None
    return _status(error) in _SHUT_STATUS or code in _SHUT


def may_change(error: BaseException) -> bool:
    """Whether MLflow may take later what it does not take now."""
    return is_away(error) or is_shut(error)


def is_rejected(error: BaseException) -> bool:
    """Whether a proxy or a store of artifacts will not have it, as 413 for what is too large."""
    return _status(error) is not None and not may_change(error)


def _status(error: BaseException) -> int | None:
    """The status of HTTP that a proxy or a store of artifacts answered with; None where it was MLflow, or nobody."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    told = _STATUS.search(str(error)) if isinstance(error, MlflowException) else None
    return int(told[1]) if told else None


class TrackingUnavailable(Exception):
    """MLflow does not answer: nothing can be registered or looked up now."""


@contextmanager
def asking() -> Iterator[None]:
    """Turn what MLflow raises when it does not answer into an `TrackingUnavailable`."""
    try:
        yield
    except Exception as error:
        if not is_away(error):
            raise
        raise TrackingUnavailable(f"MLflow does not answer ({str(error)[:200]})") from error


def now() -> int:
    """The time as MLflow has it: milliseconds since 1970."""
    return int(time.time() * 1000)


def local_id() -> str:
    """A name for a run that MLflow does not know yet."""
    return f"{LOCAL}{uuid.uuid4().hex}"


class Server:
    """An MLflow store that is told entries.

    Args:
        client: Of the store.
    """

    def __init__(self, client: MlflowClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}
        self._known: dict[str, set[tuple[str, int, float]]] = {}

    def run_id(self, run: str) -> str:
        """MLflow's name of a run."""
        return self.ids.get(run, run)

    def tell(self, entry: Entry, file: Path | None = None) -> str:
        """Tell one entry.

        Args:
            entry: What to tell.
            file: Where the file or folder lies that it is about.

        Returns:
            MLflow's name of the run.
        """
        if entry["do"] == "start":
            self.ids[entry["run"]] = self._start(entry)
        run = self.run_id(entry["run"])
        if entry["do"] == "log":
            self._log(run, entry)
        elif entry["do"] == "file":
            self._store(run, Path(str(file)), entry["folder"])
        elif entry["do"] == "input":
            tags = [InputTag(MLFLOW_DATASET_CONTEXT, entry["context"])]
            self.client.log_inputs(run, [DatasetInput(Dataset(**entry["dataset"]), tags)])
        elif entry["do"] == "end":
            self.client.set_terminated(run, entry["status"], entry["at"])
        return run

    def _log(self, run: str, entry: Entry) -> None:
        metrics = [Metric(*metric) for metric in entry.get("metrics", [])]
        if entry.get("once"):
            known = self._held(run, {metric.key for metric in metrics})
            metrics = [metric for metric in metrics if (metric.key, metric.step, metric.value) not in known]
        params = [Param(name, value) for name, value in entry.get("params", {}).items()]
        tags = [RunTag(name, value) for name, value in entry.get("tags", {}).items()]
        if metrics:
            self.client.log_batch(run, metrics=metrics)
        for start in range(0, len(params), _AT_ONCE):
            self.client.log_batch(run, params=params[start : start + _AT_ONCE])
        if tags:
            self.client.log_batch(run, tags=tags)

    def _store(self, run: str, file: Path, folder: str | None) -> None:
        try:
            self.client.log_artifact(run, str(file), folder)
        except OSError as error:
            if error.errno not in FULL:
                raise
            artifacts = self.client.get_run(run).info.artifact_uri
            with writing(Path(artifacts, folder or "", file.name)):
                raise

    def _held(self, run: str, names: set[str]) -> set[tuple[str, int, float]]:
        """What a run held of these metrics when it was first asked: name, step and value."""
        if run not in self._known:
            held = names & self.client.get_run(run).data.metrics.keys()
            history = (metric for name in held for metric in self.client.get_metric_history(run, name))
            self._known[run] = {(metric.key, metric.step, metric.value) for metric in history}
        return self._known[run]

    def _start(self, entry: Entry) -> str:
        tags: dict[str, str] = {**entry["tags"], LOCAL_TAG: entry["run"]}
        if entry["parent"] is None:
            experiment = self._experiment(entry["experiment"], entry["creation"])
        else:
            parent = self.run_id(entry["parent"])
            experiment = self.client.get_run(parent).info.experiment_id
            tags[MLFLOW_PARENT_RUN_ID] = parent
        found = self.client.search_runs([experiment], f"tags.`{LOCAL_TAG}` = '{entry['run']}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        run = self.client.create_run(experiment, start_time=entry["at"], tags=tags, run_name=entry["name"])
        return str(run.info.run_id)

    def _experiment(self, name: str, creation: Mapping[str, Any]) -> str:
        experiment = self.client.get_experiment_by_name(name)
        return str(experiment.experiment_id if experiment else self.client.create_experiment(name, **creation))
