"""Registration by a resumed run: the version that it has registered before is found."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
from serving_kit import CLASSES, SIDE, small_model

from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.promotion import Check, Decision
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.registry import models as registry

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


def decide(version: str, alias: str, compared: str | None = None) -> Decision:
    checks = (Check("comparable", "passed", "on the same images"), Check("score", "passed", "it is better"))
    decision = Decision(alias=alias, reason="for a test", policy="strict", checks=checks)
    return registry.set_alias("goodbad", version, decision, compared, {}, images=3)


def test_a_model_has_one_version_whichever_run_registers_it(client) -> None:
    with mlflow.start_run() as run:
        assert register(small_model()) == "1"
    with mlflow.start_run(run_id=run.info.run_id):
        assert register(small_model()) == "1"
        assert register(small_model(), temperature=2.0) == "2"
    with mlflow.start_run():
        assert register(small_model(), temperature=2.0) == "2"
        assert register(small_model(), temperature=3.0) == "3"
    versions = client.search_model_versions("name = 'goodbad'")
    assert sorted(int(found.version) for found in versions) == [1, 2, 3]
    assert all(len(found.tags["archive_sha256"]) == 64 for found in versions)


def test_a_model_that_is_registered_again_is_named(client, caplog) -> None:
    caplog.set_level("INFO", registry.logger.name)
    for temperature in (1.0, 2.0):
        with mlflow.start_run():
            register(small_model(), temperature=temperature)
    own = [record.message for record in caplog.records if record.name == registry.logger.name]
    assert own == ["goodbad version 2 has the same weights as version 1"]


def test_a_version_has_few_tags(client) -> None:
    """The first four are digests that are checked when the version is loaded or registered again."""
    with mlflow.start_run():
        register(small_model())
    metrics = {"test_accuracy": 0.9, "test_roc_auc": 0.95, "test_accuracy_low": 0.8, "test_ece": 0.1}
    checks = tuple(Check(name, "failed", "why") for name in ("score", "chance"))
    registry.set_alias("goodbad", "1", Decision("challenger", "why", "strict", checks), None, metrics, images=40)
    tags = client.get_model_version("goodbad", "1").tags
    assert all(len(tags.pop(f"{name}_sha256")) == 64 for name in ("archive", "facts", "seen", "weights"))
    assert tags == {
        "alias_at_registration": "challenger",
        "champion_before": "",
        "gate": "failed: score, chance",
        "gate.policy": "strict",
        "images": "40",
        "test_accuracy": "0.9",
        "test_roc_auc": "0.95",
    }


def test_a_resumed_run_compares_with_the_champion_before_its_own_version(client) -> None:
    with mlflow.start_run():
        decide(register(small_model()), "champion")
    with mlflow.start_run() as second:
        assert registry.load_champion("goodbad").version == "1"
        decide(register(small_model(), temperature=2.0), "champion", compared="1")
    assert registry.load_champion("goodbad").version == "2"
    with mlflow.start_run(run_id=second.info.run_id):
        assert registry.load_champion("goodbad").version == "1"
        decide("2", "champion", compared="1")
        assert registry.load_champion("goodbad").version == "1"
    first = client.get_model_version("goodbad", "1")
    assert first.tags["champion_before"] == ""
    assert first.description == "for a test"


def test_a_challenger_that_is_promoted_later_is_champion_only(client) -> None:
    with mlflow.start_run():
        decide(register(small_model()), "challenger")
    with mlflow.start_run():
        decide(register(small_model()), "champion")
    assert client.get_registered_model("goodbad").aliases == {"champion": 1}


def test_of_two_versions_compared_with_the_same_champion_only_one_is_promoted(client) -> None:
    """Two projects on one server: the second version was never compared with the first."""
    with mlflow.start_run():
        decide(register(small_model()), "champion")
    for temperature in (2.0, 3.0):
        with mlflow.start_run():
            register(small_model(), temperature)
    assert decide("2", "champion", compared="1").promoted
    late = decide("3", "champion", compared="1")
    assert (late.alias, registry.load_champion("goodbad").version) == ("challenger", "2")
    found = client.get_model_version_by_alias("goodbad", "challenger")
    reason = "the champion changed after the comparison, from version 1 to version 2"
    assert (int(found.version), found.description) == (3, reason)
    assert found.tags["gate"] == "failed: comparable"
    assert (found.tags["alias_at_registration"], found.tags["champion_before"]) == ("challenger", "1")
