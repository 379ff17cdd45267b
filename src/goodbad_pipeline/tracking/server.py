"""The client that sends entries to MLflow. An entry describes in plain values what to log.

An entry contains a run id and timestamps, so that the entry can be sent at any time. An entry is sent again if the
response of MLflow is lost. MLflow then stores the entry only once.
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
LOCAL_ID_TAG = "spool.local_id"
_OVERLOADED = {"REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
_UNAVAILABLE = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED"} | _OVERLOADED
_UNAVAILABLE_STATUS = {408, 425, 429, *range(500, 600)}
_DENIED = {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"}
_DENIED_STATUS = {401, 403, 407}
_STATUS = re.compile(r"failed with error code (\d+) !=")  # in MLflow's message about a response of a proxy
_MAX_PARAMS = 100  # MLflow's limit per request; entries never reach its limits for metrics and tags


class TrackingUnavailable(Exception):
    """Raised when MLflow is unavailable, so that models can be neither registered nor found."""


def is_unavailable(error: BaseException) -> bool:
    """Return whether MLflow could not be reached, failed or is overloaded; False if MLflow rejected the request."""
    status = _status(error)
    if status is not None:
        return status in _UNAVAILABLE_STATUS
    if isinstance(error, MlflowException):
        return error.error_code in _UNAVAILABLE
    return isinstance(error, requests.RequestException | ConnectionError | TimeoutError)


def is_denied(error: BaseException) -> bool:
    """Return whether access was denied, for example because a token has expired."""
    code = error.error_code if isinstance(error, MlflowException) else None
    return _status(error) in _DENIED_STATUS or code in _DENIED


def is_temporary(error: BaseException) -> bool:
    """Return whether MLflow may accept the same request later."""
    return is_unavailable(error) or is_denied(error)


def is_rejected(error: BaseException) -> bool:
    """Return whether a proxy or an artifact store rejected the request, for example with status 413 (too large)."""
    return _status(error) is not None and not is_temporary(error)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that the error reports, or None if the error is not an HTTP response."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    status = _STATUS.search(str(error)) if isinstance(error, MlflowException) else None
    return int(status[1]) if status else None


@contextmanager
def raise_unavailable() -> Iterator[None]:
    """Raise :class:`TrackingUnavailable` instead of an error which shows that MLflow is unavailable."""
    try:
        yield
    except Exception as error:
        if not is_unavailable(error):
            raise
        raise TrackingUnavailable(f"MLflow is unavailable ({str(error)[:200]})") from error


def now() -> int:
    """Return the time as MLflow stores it: milliseconds since 1970."""
    return int(time.time() * 1000)


def local_id() -> str:
    """Return a new id for a run that MLflow has not created yet."""
    return f"{LOCAL}{uuid.uuid4().hex}"


class Server:
    """An MLflow server or database to which entries are sent."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}  # MLflow's run ids by local id
        self._logged: dict[str, set[tuple[str, int, float]]] = {}

    def run_id(self, run: str) -> str:
        """Return MLflow's id of the run with this local id. An id of MLflow is returned unchanged."""
        return self.ids.get(run, run)

    def send(self, entry: Entry, file: Path | None = None) -> str:
        """Send an entry and its file or folder. Return MLflow's id of the run."""
        if entry["do"] == "start":
            self.ids[entry["run"]] = self._start(entry)
        run = self.run_id(entry["run"])
        if entry["do"] == "log":
            self._log(run, entry)
        elif entry["do"] == "file":
            self._log_file(run, Path(str(file)), entry["folder"])
        elif entry["do"] == "input":
            tags = [InputTag(MLFLOW_DATASET_CONTEXT, entry["context"])]
            self.client.log_inputs(run, [DatasetInput(Dataset(**entry["dataset"]), tags)])
        elif entry["do"] == "end":
            self.client.set_terminated(run, entry["status"], entry["at"])
        return run

    def _log(self, run: str, entry: Entry) -> None:
        metrics = [Metric(*metric) for metric in entry.get("metrics", [])]
        if entry.get("once"):
            logged = self._logged_metrics(run, {metric.key for metric in metrics})
            metrics = [metric for metric in metrics if (metric.key, metric.step, metric.value) not in logged]
        params = [Param(name, value) for name, value in entry.get("params", {}).items()]
        tags = [RunTag(name, value) for name, value in entry.get("tags", {}).items()]
        if metrics:
            self.client.log_batch(run, metrics=metrics)
        for start in range(0, len(params), _MAX_PARAMS):
            self.client.log_batch(run, params=params[start : start + _MAX_PARAMS])
        if tags:
            self.client.log_batch(run, tags=tags)

    def _log_file(self, run: str, file: Path, folder: str | None) -> None:
        try:
            self.client.log_artifact(run, str(file), folder)
        except OSError as error:
            if error.errno not in FULL:
                raise
            artifacts = self.client.get_run(run).info.artifact_uri
            with writing(Path(artifacts, folder or "", file.name)):
                raise

    def _logged_metrics(self, run: str, names: set[str]) -> set[tuple[str, int, float]]:
        """Return name, step and value of each metric that MLflow had for the run at the first call of this method."""
        if run not in self._logged:
            logged = names & self.client.get_run(run).data.metrics.keys()
            history = (metric for name in logged for metric in self.client.get_metric_history(run, name))
            self._logged[run] = {(metric.key, metric.step, metric.value) for metric in history}
        return self._logged[run]

    def _start(self, entry: Entry) -> str:
        """Return MLflow's id of the run that an entry starts. Create the run unless MLflow has it already."""
        tags: dict[str, str] = {**entry["tags"], LOCAL_ID_TAG: entry["run"]}
        if entry["parent"] is None:
            experiment = self._experiment_id(entry["experiment"], entry["creation"])
        else:
            parent = self.run_id(entry["parent"])
            experiment = self.client.get_run(parent).info.experiment_id
            tags[MLFLOW_PARENT_RUN_ID] = parent
        created = self.client.search_runs([experiment], f"tags.`{LOCAL_ID_TAG}` = '{entry['run']}'", max_results=1)
        if created:
            return str(created[0].info.run_id)
        run = self.client.create_run(experiment, start_time=entry["at"], tags=tags, run_name=entry["name"])
        return str(run.info.run_id)

    def _experiment_id(self, name: str, creation: Mapping[str, Any]) -> str:
        experiment = self.client.get_experiment_by_name(name)
        return str(experiment.experiment_id if experiment else self.client.create_experiment(name, **creation))
