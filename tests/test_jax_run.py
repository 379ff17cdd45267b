"""``KERAS_BACKEND=jax kedro run``: all pipelines on JAX, except those that need TensorFlow."""

import json
import os
from pathlib import Path

import pytest
from cli_runner import command, store, table
from factories import make_project

JAX = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after a whole run on JAX."""
    project = make_project(tmp_path_factory.mktemp("jax") / "project")
    done = command(project, "run", "--env=test", environment=JAX)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.mark.slow
def test_run_registers_a_champion(trained: Path) -> None:
    metrics = json.loads((trained / "data/08_reporting/test_metrics.json").read_text())
    assert 0 <= metrics["test_accuracy"] <= 1
    assert len(table(trained, "history")) == 1
    assert int(store(trained).get_model_version_by_alias("goodbad", "champion").version) == 1


@pytest.mark.slow
def test_tensorflow_and_jax_predict_the_same(trained: Path) -> None:
    images = trained / "data/01_raw/characters"
    done = command(trained, "run", "--env=test", "--pipeline=predict", f"--params=predict.source={images}")
    assert done.returncode == 0, done.stdout + done.stderr
    by_jax = table(trained, "test_predictions").set_index("path")["probability_good"]
    by_tensorflow = table(trained, "predictions").set_index("path")["probability_good"]
    assert by_tensorflow[by_jax.index].to_numpy() == pytest.approx(by_jax.to_numpy(), abs=1e-4)


@pytest.mark.slow
def test_export_needs_tensorflow(trained: Path) -> None:
    done = command(trained, "run", "--env=test", "--pipeline=export", environment=JAX)
    assert done.returncode == 1
    assert "export: needs KERAS_BACKEND=tensorflow, got jax" in done.stdout + done.stderr


@pytest.mark.long
def test_an_unknown_backend_ends_the_run_before_it_starts(project: Path) -> None:
    done = command(project, "run", "--env=test", environment=os.environ | {"KERAS_BACKEND": "torch"})
    assert done.returncode == 1
    assert "KERAS_BACKEND: must be tensorflow or jax, got 'torch'" in done.stdout + done.stderr
