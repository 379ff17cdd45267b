"""Fixtures of all tests."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from factories import make_project, write_manifest

# No deadline: a test may be slow on a busy machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

if "PYTEST_XDIST_WORKER" in os.environ:  # more threads than cores would only slow the tests
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

os.environ.pop("MLFLOW_TRACKING_URI", None)  # each test has its own store


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage under Hypothesis: one hundred examples cover the lines of one, in twice the time."""
    for item in items:
        if hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def _leave_no_tracking_behind() -> Iterator[None]:
    """Reset MLflow, which keeps the active run and the store in globals and in the environment."""
    yield
    if tracking := sys.modules.get("goodbad_pipeline.tracking"):
        tracking.leave_run()
    if mlflow := sys.modules.get("mlflow"):
        while mlflow.active_run():
            mlflow.end_run()
        mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def manifest_root(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "images_root")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def eager() -> Iterator[None]:
    from cli_runner import eagerly

    with eagerly():
        yield


@pytest.fixture
def set_policy() -> Iterator[Callable[[str], None]]:
    """Return a function that sets the dtype policy of Keras, which is restored after the test."""
    import keras

    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.fixture
def tiny_project(tmp_path: Path, monkeypatch, eager: None) -> Path:
    """A project whose network is one convolution, trained for nine steps in three epochs; the data pipeline has run."""
    from cli_runner import kedro_run
    from tiny_training import tiny_network

    import goodbad_pipeline.networks.model

    monkeypatch.setattr(goodbad_pipeline.networks.model, "build_network", lambda *_, **__: tiny_network(48))
    project = make_project(tmp_path / "project")
    (project / "conf/test/parameters_train.yml").write_text(
        "model: {resolution: 48, phi: -3, weights: none}\ntraining: {batch_size: 8, scratch_epochs: 3}\n"
    )
    kedro_run(project, "data")
    return project
