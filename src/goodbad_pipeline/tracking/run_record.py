"""What MLflow has on record about a run."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.tracking import current_run
from goodbad_pipeline.tracking.provenance import VERSION_PREFIX

PARAMETERS_FILE = "parameters.json"


@dataclass(frozen=True)
class RunRecord:
    """A run as it was recorded.

    Attributes:
        run_id: Its identity.
        name: Its name.
        tags: All of them; ``git_commit``, ``git_dirty`` and ``version.<package>`` say what it ran on.
        labels: Digest of the labels it saw, None where it saw none.
        parameters: Parameter groups it used, as plain values.
        metrics: The last value of each.
    """

    run_id: str
    name: str
    tags: dict[str, str]
    labels: str | None
    parameters: dict[str, Any]
    metrics: dict[str, float]

    @property
    def versions(self) -> dict[str, str]:
        """Of Python and what results depend on, by the names of the tags."""
        return {name: value for name, value in self.tags.items() if name.startswith(VERSION_PREFIX)}


def read_run(run_id: str) -> RunRecord:
    """Read a run of the store that is set.

    Raises:
        InputError: There is none of that identity, or its parameters are not on record.
    """
    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise InputError(f"replay.run_id: there is no run '{run_id}'; `kedro mlflow ui` shows them") from error
    return _record(run, _parameters(run))


def parameters_to_repeat(run_id: str) -> dict[str, Any]:
    """Return a run's parameters, but for one: a replay trains from the start, whatever checkpoints there are.

    Raises:
        InputError: As :func:`read_run`.
    """
    parameters = read_run(run_id).parameters
    training = parameters.get("training")
    if training is None:
        return parameters
    anew = {**training, "checkpoint": {**training["checkpoint"], "resume": False}}
    return {**parameters, "training": anew}


def active_tags() -> dict[str, str]:
    """Return the tags of the run that is under way.

    Raises:
        InputError: None is.
    """
    run = current_run()
    if run is None:
        raise InputError("replay: MLflow tracking is switched off, there is nothing to compare a run with")
    return dict(mlflow.MlflowClient().get_run(run).data.tags)


def _parameters(run: Run) -> dict[str, Any]:
    try:
        with TemporaryDirectory() as folder:
            file = mlflow.MlflowClient().download_artifacts(run.info.run_id, PARAMETERS_FILE, folder)
            return dict(json.loads(Path(file).read_text()))
    except Exception as error:  # each kind of artifact store has its own
        raise InputError(
            f"replay.run_id: run '{run.info.run_id}' has no {PARAMETERS_FILE}; it was made by an older version of "
            "this project, or its files are gone"
        ) from error


def _record(run: Run, parameters: dict[str, Any]) -> RunRecord:
    inputs = {found.dataset.name: found.dataset.digest for found in run.inputs.dataset_inputs}
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        tags=dict(run.data.tags),
        labels=inputs.get("labels"),
        parameters=parameters,
        metrics=dict(run.data.metrics),
    )
