"""References by which other processes load the same version."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from serving_kit import CLASSES, SIDE, small_model

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.registry import reference
from goodbad_pipeline.registry.models import load_version, log_model
from goodbad_pipeline.registry.reference import ModelReference


@pytest.fixture
def found(tmp_path: Path) -> ModelReference:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("references", artifact_location=str(tmp_path / "mlartifacts"))
    mlflow.set_experiment("references")
    transform = Transform(SIDE, "pad", (255, 255, 255), 120 * 120)
    with mlflow.start_run():
        log_model(small_model(), "goodbad", Calibration(CLASSES), transform, np.zeros((SIDE, SIDE, 3), np.uint8))
    return ModelReference.of(load_version("goodbad", "1"))


def test_a_process_loads_a_version_once(found: ModelReference, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = pickle.loads(pickle.dumps(found.load))()
    assert classifier.calibration.class_names == CLASSES
    monkeypatch.setattr(reference, "load_version", lambda *_: pytest.fail("loads it again"))
    assert pickle.loads(pickle.dumps(found)).load() is classifier


def test_a_reference_shows_no_store(found: ModelReference) -> None:
    assert "mlflow.db" not in repr(found)


def test_a_machine_without_the_store_is_named_and_gets_none(found: ModelReference, tmp_path: Path) -> None:
    elsewhere = replace(found, store=f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(InputError, match=r"none\.db: no such MLflow store; .*disk that all machines share"):
        elsewhere.load()
    assert not (tmp_path / "none.db").exists()


def test_a_machine_without_the_model_is_named(found: ModelReference, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "mlartifacts")
    with pytest.raises(InputError, match="version 1 of 'goodbad' cannot be loaded"):
        replace(found, exports="another key of the cache").load()


def test_another_model_with_the_same_number_is_refused(found: ModelReference) -> None:
    with pytest.raises(InputError, match="version 1 of 'goodbad' is another model in this machine's MLflow store"):
        replace(found, run_id="0" * 32).load()


def test_a_server_that_does_not_answer_is_one_line(found: ModelReference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match="version 1 of 'goodbad' cannot be read"):
        replace(found, store="http://127.0.0.1:9").load()
