"""Runs of the real project, and access to their results."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

WATCHED = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
"""An environment in which Python prints every import."""
BACKENDS = {"tensorflow", "keras", "jax"}
SLOW = {"matplotlib", "plotly", "sklearn"}  # packages that are slow to import and not needed to list pipelines


@contextmanager
def eagerly() -> Iterator[None]:
    """Run TensorFlow functions eagerly: tracing takes longer than the few training steps of a test."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def kedro_run(project: Path, pipeline: str | None = None, **parameters: object) -> None:
    """Run ``kedro run --env test --pipeline=… --params=…`` in this process and eagerly.

    ``command`` runs it as users do, with compiled graphs.
    """
    nested: dict = {}
    for name, value in parameters.items():
        group, leaf = name.split("__")
        nested.setdefault(group, {})[leaf] = value
    bootstrap_project(project)
    with eagerly(), KedroSession.create(project, env="test", runtime_params=nested) as session:
        session.run(pipeline_names=[pipeline] if pipeline else None)


def command(project: Path, *arguments: str, environment: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess:
    """Run ``kedro`` as a separate process."""
    environment = {key: value for key, value in environment.items() if key != "MLFLOW_TRACKING_URI"}
    kedro = Path(sys.executable).with_name("kedro")
    return subprocess.run(
        [kedro, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def imported(done: subprocess.CompletedProcess) -> set[str]:
    """Return the packages that a ``command`` in `WATCHED`, and each process it started, has imported."""
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def store(project: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def runs(project: Path) -> list[mlflow.entities.Run]:
    """Return the MLflow runs, newest first."""
    experiment = store(project).get_experiment_by_name("goodbad_pipeline")
    return list(store(project).search_runs([experiment.experiment_id]))


def table(project: Path, name: str) -> pd.DataFrame:
    file = next(file for file in (project / "data").glob(f"*/{name}.*") if file.suffix in (".parquet", ".csv"))
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
