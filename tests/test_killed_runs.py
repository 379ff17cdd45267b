"""Runs after a SIGKILL resume, and end with the results of an uninterrupted run."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from cli_runner import runs, store, table
from factories import make_project

pytestmark = pytest.mark.slow


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__).with_name("kill_helpers.py")), str(project), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def kill(project: Path, *arguments: str) -> None:
    done = run(project, *arguments)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def finish(project: Path, *arguments: str) -> None:
    done = run(project, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def new_project(folder: Path) -> Path:
    project = make_project(folder)
    (project / "conf/test/parameters_train.yml").write_text(
        "model: {resolution: 48, phi: -3, weights: none}\ntraining: {batch_size: 8, scratch_epochs: 3}\n"
    )
    return project


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> Path:
    project = new_project(tmp_path_factory.mktemp("whole") / "project")
    finish(project, "data")
    return project


def copy(project: Path, folder: Path) -> Path:
    """Copy a project without its store, whose artifact locations are absolute."""
    return Path(shutil.copytree(project, folder, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts")))


def trained(project: Path) -> dict[str, np.ndarray]:
    """Return the weights of the stored network by name."""
    arrays: dict[str, np.ndarray] = {}

    def gather(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset):
            arrays[name] = np.asarray(entry)

    with (
        zipfile.ZipFile(project / "data/06_models/model.keras") as archive,
        archive.open("model.weights.h5") as file,
        h5py.File(file) as weights,
    ):
        weights.visititems(gather)
    return arrays


@pytest.fixture(scope="module")
def weights(ingested: Path, tmp_path_factory) -> dict[str, np.ndarray]:
    """Weights of an uninterrupted training."""
    project = copy(ingested, tmp_path_factory.mktemp("alone") / "project")
    finish(project, "train")
    return trained(project)


@pytest.mark.parametrize("place", [("step", "5"), ("save", "2"), ("model",)], ids="-".join)
def test_killed_training_resumes_its_run_and_ends_with_the_same_weights(
    ingested: Path, weights: dict[str, np.ndarray], place: tuple[str, ...], tmp_path: Path
) -> None:
    """The training has nine steps in three epochs."""
    project = copy(ingested, tmp_path / "project")
    kill(project, "train", *place)
    (killed,) = runs(project)
    finish(project, "train")
    (finished,) = runs(project)
    assert (killed.info.status, finished.info.status) == ("RUNNING", "FINISHED")
    assert finished.info.run_id == killed.info.run_id
    assert "stopped" not in finished.data.tags
    steps = [metric.step for metric in store(project).get_metric_history(finished.info.run_id, "val_loss")]
    assert steps == [1, 2, 3]
    now = trained(project)
    assert now.keys() == weights.keys()
    assert all(np.array_equal(now[name], weights[name]) for name in weights)
    assert not list(project.glob("data/06_models/checkpoints/*"))


@pytest.mark.parametrize("place", [("scan", "10"), ("draft",)], ids="-".join)
def test_killed_ingestion_resumes_and_writes_the_same_tables(
    ingested: Path, place: tuple[str, ...], tmp_path: Path
) -> None:
    project = new_project(tmp_path / "project")
    kill(project, "data", *place)
    assert not (project / "data/03_primary/labels.parquet").exists()
    finish(project, "data")
    for name in ("labels", "splits", "quarantine"):
        pd.testing.assert_frame_equal(table(project, name), table(ingested, name))
    assert not [*project.glob("data/*/.new-*"), *project.glob("data/*/.old-*")]
    assert [run.info.status for run in runs(project)] == ["FINISHED", "KILLED"]
