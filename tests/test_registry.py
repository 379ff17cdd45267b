"""A run that was killed between registration and its end goes on: what it registered is found, not doubled."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
from serving_kit import CLASSES, SIDE, small_model

from goodbad_pipeline import registry
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.promotion import Check, Decision

TRANSFORM = Transform(SIDE, "pad", (255, 255, 255), 120 * 120, tiff=True)


@pytest.fixture
def client(tmp_path: Path) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("registry", artifact_location=str(tmp_path / "mlartifacts"))
    mlflow.set_experiment("registry")
    return mlflow.MlflowClient()


def register(model, temperature: float = 1.0) -> str:
    example = np.zeros((SIDE, SIDE, 3), np.uint8)
    return registry.log_model(model, "goodbad", Calibration(CLASSES, temperature), TRANSFORM, example)


def decide(version: str, alias: str) -> None:
    checks = (Check("score", "passed", "it is better"),)
    decision = Decision(alias=alias, reason="for a test", policy="strict", checks=checks)
    registry.set_alias("goodbad", version, decision, {}, images=3)


def test_a_run_that_goes_on_finds_its_version_and_another_model_gets_its_own(client) -> None:
    with mlflow.start_run() as run:
        assert register(small_model()) == "1"
    with mlflow.start_run(run_id=run.info.run_id):
        assert register(small_model()) == "1"
        assert register(small_model(), temperature=2.0) == "2"
    with mlflow.start_run():
        assert register(small_model()) == "3"
    versions = client.search_model_versions("name = 'goodbad'")
    assert sorted(int(found.version) for found in versions) == [1, 2, 3]
    assert all(len(found.tags["archive_sha256"]) == 64 for found in versions)


def test_to_a_run_that_goes_on_the_champion_is_the_one_before_its_own(client) -> None:
    with mlflow.start_run():
        decide(register(small_model()), "champion")
    with mlflow.start_run() as second:
        assert registry.load_champion("goodbad").version == "1"
        decide(register(small_model()), "champion")
    assert registry.load_champion("goodbad").version == "2"
    with mlflow.start_run(run_id=second.info.run_id):
        assert registry.load_champion("goodbad").version == "1"
        decide("2", "champion")
        assert registry.load_champion("goodbad").version == "1"
    first = client.get_model_version("goodbad", "1")
    assert first.tags["champion_before"] == ""
    assert first.description == first.tags["alias_reason"] == "for a test"
