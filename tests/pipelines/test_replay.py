"""What a replay refuses and what it reports; that it repeats a run is held end to end."""

import logging

import mlflow
import pandas as pd
import pytest
from factories import parameters

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.replay import nodes
from goodbad_pipeline.tracking import run_record as runs
from goodbad_pipeline.tracking.run_record import (
    PARAMETERS_FILE,
    RunRecord,
    current_tags,
    labels_digest,
    package_versions,
    read_replay_parameters,
    read_run,
)

LABELS = pd.DataFrame({"image_id": ["a", "b"], "label": ["x", "y"], "group": ["1", "2"], "path": ["p", "q"]})
CLEAN = {"git_commit": "c0ffee", "git_dirty": "false", "version.keras": "3.15.1"}


def record(**changes: object) -> RunRecord:
    values = {
        "run_id": "r",
        "name": "__default__",
        "tags": CLEAN,
        "labels": labels_digest(LABELS)[:16],
        "parameters": {"splits": {}},
        "metrics": {"test_accuracy": 0.9, "test_roc_auc": float("nan"), "val_loss": 0.3},
    }
    return RunRecord(**values | changes)


def group(**changes: object):
    return validate_parameters(parameters(**{"replay__run_id": "r"} | changes))["replay"]


@pytest.fixture
def recorded(monkeypatch):
    """Set what is on record and what is now."""

    def put(found: RunRecord, now: dict) -> None:
        monkeypatch.setattr(nodes, "read_run", lambda _: found)
        monkeypatch.setattr(nodes, "current_tags", lambda: now)

    return put


def test_matching_checks_are_listed_and_labels_returned(recorded) -> None:
    recorded(record(), CLEAN)
    labels, checks = nodes.verify_run(LABELS, group())
    assert labels is LABELS
    assert {check["what"] for check in checks} == {"version.keras", "git_commit", "labels"}
    assert all(check["matches"] for check in checks)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"git_commit": "other"}, "git_commit was c0ffee, is other"),
        ({"git_dirty": "true"}, "git_commit was c0ffee, is c0ffee with changes"),
        ({"version.keras": "4.0"}, "version.keras was 3.15.1, is 4.0"),
    ],
)
def test_other_code_is_an_error_if_strict_and_else_reported(recorded, now: dict, message: str) -> None:
    recorded(record(), CLEAN | now)
    with pytest.raises(InputError, match=message):
        nodes.verify_run(LABELS, group())
    _, checks = nodes.verify_run(LABELS, group(replay__strict=False))
    assert [check["matches"] for check in checks].count(False) == 1


def test_uncommitted_changes_cannot_be_restored(recorded) -> None:
    recorded(record(tags=CLEAN | {"git_dirty": "true"}), CLEAN)
    with pytest.raises(InputError, match=r"c0ffee with changes, is c0ffee \(.*cannot be restored\)\. Restore"):
        nodes.verify_run(LABELS, group())


def test_an_unknown_commit_never_matches(recorded) -> None:
    unknown = CLEAN | {"git_commit": "unknown", "git_dirty": "unknown"}
    recorded(record(tags=unknown), unknown)
    with pytest.raises(InputError, match="git_commit was unknown, is unknown"):
        nodes.verify_run(LABELS, group())


@pytest.mark.parametrize("strict", [True, False])
def test_other_data_are_always_an_error(recorded, strict: bool) -> None:
    recorded(record(), CLEAN)
    with pytest.raises(InputError, match=r"cannot be repeated here: labels was \w{16}, is \w{16}"):
        nodes.verify_run(LABELS.assign(label="x"), group(replay__strict=strict))


def test_a_run_must_be_complete(recorded) -> None:
    recorded(record(parameters={"model": {}}), CLEAN)
    with pytest.raises(InputError, match="is a run of only a part of the pipeline"):
        nodes.verify_run(LABELS, group())


@pytest.mark.parametrize(
    ("accuracy", "recorded_accuracy", "agrees"),
    [(0.9, 0.9, True), (0.9 + 5e-7, 0.9, True), (0.8, 0.9, False), (0.9, None, False)],
)
def test_metrics_agree_within_the_tolerance_or_are_named(
    recorded, caplog, accuracy: float, recorded_accuracy: float | None, agrees: bool
) -> None:
    known = {} if recorded_accuracy is None else {"test_accuracy": recorded_accuracy}
    recorded(
        record(metrics={"test_roc_auc": float("nan"), "val_loss": 0.3, "test_by_another_node": 1.0} | known), CLEAN
    )
    with caplog.at_level(logging.INFO, "goodbad_pipeline"):
        report, metrics = nodes.compare_metrics({"test_roc_auc": float("nan"), "test_accuracy": accuracy}, [], group())
    assert report["agrees"] is agrees
    assert metrics["replay_agrees"] == float(agrees)
    assert set(report["metrics"]) == {"test_accuracy", "test_roc_auc"}
    assert ("test_accuracy" in caplog.text) is not agrees


def test_a_record_is_read_back_from_the_store(tmp_path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("replay", artifact_location=str(tmp_path / "artifacts"))
    mlflow.set_experiment("replay")
    with pytest.raises(InputError, match="tracking is disabled"):
        current_tags()
    with mlflow.start_run() as run:
        mlflow.set_tags(package_versions())
        mlflow.log_metric("test_accuracy", 0.5)
        assert current_tags()["version.python"].startswith("3.11")
        with pytest.raises(InputError, match="has no parameters"):
            read_run(run.info.run_id)
        mlflow.log_dict({"model": {"phi": 0.5, "variant": None}}, PARAMETERS_FILE)
    found = read_run(run.info.run_id)
    assert found.parameters == {"model": {"phi": 0.5, "variant": None}}
    assert found.versions == package_versions()
    assert (found.labels, found.metrics) == (None, {"test_accuracy": 0.5})
    assert read_replay_parameters(run.info.run_id) == found.parameters
    with pytest.raises(InputError, match="there is no run 'none'"):
        read_run("none")


def test_a_replay_never_resumes_from_a_checkpoint(monkeypatch) -> None:
    training = validate_parameters(parameters())["training"].model_dump(mode="json")
    assert training["checkpoint"]["resume"]
    monkeypatch.setattr(runs, "read_run", lambda _: record(parameters={"training": training}))
    repeated = read_replay_parameters("r")["training"]
    assert repeated["checkpoint"]["resume"] is False
    assert repeated | {"checkpoint": training["checkpoint"]} == training


def test_typed_groups_are_unchanged_by_json() -> None:
    for name, typed in validate_parameters(parameters()).items():
        again = validate_parameters({name: typed.model_dump(mode="json")})
        assert again[name] == typed
