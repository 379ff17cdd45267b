"""The origin of a result: commit, package versions, labels and parameters of this process, or of a run in MLflow."""

import hashlib
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.tracking import current_run, plain_name

PARAMETERS_FILE = "parameters.json"
VERSION_PREFIX = "version."
PACKAGES = ("keras", "tensorflow", "numpy", "pandas", "Pillow", "scikit-learn", "scipy", "mlflow", "kedro")
"""Packages whose version may change the results."""


@dataclass(frozen=True)
class RunRecord:
    """What MLflow has recorded about a run."""

    run_id: str
    name: str
    tags: dict[str, str]  # include git_commit, git_dirty and version.<package>
    labels: str | None  # digest of the labels; None if the run used no labels
    parameters: dict[str, Any]  # plain values by group
    metrics: dict[str, float]  # the last value of each metric, without sections

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and of packages, by tag name."""
        return {name: value for name, value in self.tags.items() if name.startswith(VERSION_PREFIX)}


def read_run(run_id: str) -> RunRecord:
    """Read a run from the current MLflow store.

    Raises:
        InputError: The run does not exist, or its parameters were not recorded.
    """
    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise InputError(f"replay.run_id: there is no run '{run_id}'; choose a run that MLflow lists") from error
    digests = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        tags=dict(run.data.tags),
        labels=digests.get("labels"),
        parameters=_read_parameters(run),
        metrics={plain_name(name): value for name, value in run.data.metrics.items()},
    )


def read_replay_parameters(run_id: str) -> dict[str, Any]:
    """Return the parameters of a run, changed so that the replay does not resume from a checkpoint."""
    parameters = read_run(run_id).parameters
    training = parameters.get("training")
    if training is None:
        return parameters
    return {**parameters, "training": {**training, "checkpoint": {**training["checkpoint"], "resume": False}}}


def current_tags() -> dict[str, str]:
    """Return the tags of the current run; raise `InputError` if there is no current run."""
    run = current_run()
    if run is None:
        raise InputError("replay: MLflow tracking is disabled; enable it, because a replay compares two MLflow runs")
    return dict(mlflow.MlflowClient().get_run(run).data.tags)


def package_versions() -> dict[str, str]:
    """Return the tags ``version.python`` and ``version.<package>`` of each installed package in ``PACKAGES``."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package.lower()] = version(package)
    return {f"{VERSION_PREFIX}{name}": number for name, number in versions.items()}


def git_state(folder: Path) -> dict[str, str]:
    """Return the tags ``git_commit`` and ``git_dirty`` (true or false); both are ``unknown`` outside a git checkout."""
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain"])
    try:
        commit, changes = (
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": "unknown", "git_dirty": "unknown"}
    return {"git_commit": commit, "git_dirty": str(bool(changes)).lower()}


def labels_digest(labels: pd.DataFrame) -> str:
    """Return the SHA-256 of all image ids, labels and groups as 64 hex digits; the order of rows has no effect."""
    image, label, group = (labels[name].astype(str) for name in ("image_id", "label", "group"))
    rows = image + "\t" + label + "\t" + group
    return hashlib.sha256("\n".join(sorted(rows.tolist())).encode()).hexdigest()


def _read_parameters(run: Run) -> dict[str, Any]:
    try:
        return mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{PARAMETERS_FILE}")
    except Exception as error:  # each artifact store raises its own exceptions
        raise InputError(
            f"replay.run_id: run '{run.info.run_id}' has no {PARAMETERS_FILE}; it was created by an older version of "
            "this project, or its artifacts were deleted. Choose another run"
        ) from error
