"""The real ``kedro run`` in a temporary copy of the project, on images that the tests draw."""

import json
import logging
import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from cli_runner import command, kedro_run, runs, store, table
from factories import PROJECT, make_project

from goodbad_pipeline import tracking
from goodbad_pipeline.hooks import tracking as hooks
from goodbad_pipeline.registry.models import load_champion

METRICS = ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "average_precision", "log_loss", "brier", "ece"]


CANARY = "canary-4f1d2c7e"
"""Prefix of every secret in these tests."""
SECRET_OPTION = {"engine": "threading", "engine_options": {"token": {"secret": f"{CANARY}-parameter"}}}


def commit(project: Path) -> None:
    """Make the project a clean git checkout, which a replay requires."""
    shutil.copy(PROJECT / ".gitignore", project)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=project, check=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project after one whole run; tests that change it use a copy."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    root = project / "data" / "01_raw" / "characters"
    (root / "broken.png").write_bytes(b"nothing to see")
    with (root / "labels.csv").open("a") as manifest:
        manifest.write("broken.png,bad,bad 0,sun\n")
    commit(project)
    log = logging.FileHandler(project.with_name("log.txt"))
    logging.getLogger().addHandler(log)
    kedro_run(project, images__scan=SECRET_OPTION)
    logging.getLogger().removeHandler(log)
    return project


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project with its own store, because artifact locations are absolute."""
    ignore = shutil.ignore_patterns("mlflow.db*", "mlartifacts")
    return Path(shutil.copytree(finished, tmp_path / "again", ignore=ignore))


def test_every_file_is_accepted_or_quarantined(finished: Path) -> None:
    labels, quarantine = table(finished, "labels"), table(finished, "quarantine")
    assert len(labels) == 36
    assert quarantine[["path", "reason"]].values.tolist() == [["broken.png", "not_an_image"]]
    assert {"image_id", "path", "label", "group", "width", "height", "format", "weather"} <= set(labels.columns)
    assert labels["image_id"].str.fullmatch("[0-9a-f]{64}").all()
    summary = json.loads((finished / "data/08_reporting/ingestion_summary.json").read_text())
    assert summary["found"] == summary["accepted"] + summary["quarantined"] == 37


def test_no_group_is_in_two_splits(finished: Path) -> None:
    splits = table(finished, "splits")
    assert splits.groupby("group")["split"].nunique().max() == 1
    assert set(splits["split"]) == {"train", "validation", "test"}
    assert table(finished, "split_counts")["images"].sum() == 36


def test_metrics_are_recorded_with_their_baselines(finished: Path) -> None:
    metrics = json.loads((finished / "data/08_reporting/test_metrics.json").read_text())
    expected = {
        f"{prefix}test_{name}"
        for prefix in ("", "baseline_majority_", "baseline_histogram_", "baseline_shortcut_")
        for name in METRICS
    }
    assert expected <= set(metrics)
    assert metrics["test_accuracy_low"] <= metrics["test_accuracy"] <= metrics["test_accuracy_high"]
    assert metrics["test_images"] == (table(finished, "splits")["split"] == "test").sum()
    assert {"uncalibrated_test_ece", "test_accuracy_surest_80", "test_abstained"} <= set(metrics)
    logged = {tracking.plain_name(name): value for name, value in runs(finished)[0].data.metrics.items()}
    assert {name: logged[name] for name in metrics} == pytest.approx(metrics)


def test_calibration_slices_and_findings_are_artifacts(finished: Path) -> None:
    (run,) = runs(finished)
    names = {Path(file.path).name for file in store(finished).list_artifacts(run.info.run_id, "evaluation")}
    assert {"calibration.json", "slices.csv", "fairness.csv", "findings.json", "metric_intervals.csv"} <= names
    calibration = json.loads((finished / "data/06_models/calibration.json").read_text())
    assert calibration["class_names"] == ["bad", "good"]
    assert calibration["temperature"] > 0
    assert set(calibration) == {"temperature", "threshold", "abstain_below", "class_names"}
    assert "weather" in set(table(finished, "slices")["column"])


def test_the_run_has_its_name_every_leaf_parameter_and_the_commit(finished: Path) -> None:
    (run,) = runs(finished)
    assert run.info.run_name == "characters · goodbad · lite φ=-7 48 px"
    assert run.info.status == "FINISHED"
    assert run.data.params["model.phi"] == run.data.params["network.phi"] == "-7.0"
    assert run.data.params["training.augmentation.flip"] == "True"
    assert run.data.params["images.columns.path"] == "path"
    assert run.data.params["network.resolution"] == "48"
    assert int(run.data.params["network.macs"]) > 0
    assert not any(value.startswith("{") for value in run.data.params.values())
    assert {"git_commit", "git_dirty"} <= set(run.data.tags)


def test_the_last_lines_state_the_results_and_where_to_look(finished: Path) -> None:
    accuracy, alias, report, tracked, pipeline = finished.with_name("log.txt").read_text().splitlines()[-5:]
    metrics = json.loads((finished / "data/08_reporting/test_metrics.json").read_text())
    assert accuracy.startswith(f"Test accuracy {metrics['test_accuracy']:.3f} (95 % interval ")
    assert alias.startswith("goodbad version 1 is champion: no champion yet; ")
    assert report == "Report: data/08_reporting/report.html"
    assert tracked == "MLflow run 'characters · goodbad · lite φ=-7 48 px': `make ui`, or `kedro mlflow ui`"
    assert pipeline == "Pipeline with its tables and figures: `make viz`, or `kedro viz run`"


def test_epochs_are_steps_and_labels_a_dataset_input_with_digest(finished: Path) -> None:
    (run,) = runs(finished)
    losses = store(finished).get_metric_history(run.info.run_id, "val_loss")
    assert [metric.step for metric in losses] == [1]
    (labels,) = run.inputs.dataset_inputs
    assert labels.dataset.name == "labels"
    assert len(labels.dataset.digest) == 16


def test_figures_and_tables_are_artifacts(finished: Path) -> None:
    (run,) = runs(finished)
    names = {
        file.path for folder in ("figures", "data") for file in store(finished).list_artifacts(run.info.run_id, folder)
    }
    drawn = ("confusion_matrix", "roc_curve", "precision_recall_curve", "reliability", "slices", "mistakes", "history")
    assert {f"figures/{name}.png" for name in drawn} <= names
    assert {"data/split_counts.csv", "data/quarantine.csv"} <= names


def test_the_model_is_registered_and_loads_back(finished: Path) -> None:
    client = store(finished)
    version = client.get_model_version_by_alias("goodbad", "champion")
    assert int(version.version) == 1
    assert version.description.startswith("no champion yet")
    mlflow.set_tracking_uri(f"sqlite:///{finished / 'mlflow.db'}")
    assert len(version.tags["archive_sha256"]) == 64
    champion = load_champion("goodbad")
    assert champion.class_names == ["bad", "good"]
    assert champion.model.input_shape == (None, 48, 48, 3)
    requirements = mlflow.pyfunc.get_model_dependencies("models:/goodbad@champion")
    assert "tensorflow==" in Path(requirements).read_text()
    expected = table(finished, "test_predictions")
    root = finished / "data/01_raw/characters"
    files = pd.DataFrame({"image": [str(root / path) for path in expected["path"]]})
    predictions = mlflow.pyfunc.load_model("models:/goodbad@champion").predict(files)
    assert predictions["label"].tolist() == expected["predicted"].tolist()
    assert predictions["probability"].tolist() == pytest.approx(expected["probability"].tolist(), abs=1e-5)


def test_predict_equals_the_evaluation_and_records_its_model(finished: Path, monkeypatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(hooks.logger, "info", lambda line, *values: messages.append(line % values))
    kedro_run(finished, "predict", predict__source="data/01_raw/characters")
    assert "Predictions: data/07_model_output/predictions.csv" in messages
    run = runs(finished)[0]
    assert run.info.run_name == "predict · characters · goodbad"
    assert (run.data.tags["model_name"], run.data.tags["model_version"]) == ("goodbad", "1")
    assert run.data.metrics["predict_files"] == 37
    assert run.data.metrics["predict_files_per_second"] > 0
    predictions = table(finished, "predictions").set_index("path")
    expected = table(finished, "test_predictions").set_index("path")
    assert predictions.loc[expected.index, "label"].tolist() == expected["predicted"].tolist()
    columns = ["probability", "probability_bad", "probability_good"]
    assert abs(predictions.loc[expected.index, columns] - expected[columns]).max(axis=None) <= 1e-5
    quarantined = pd.read_csv(finished / "data/07_model_output/prediction_quarantine.csv")
    assert (
        quarantined[["path", "reason"]].values.tolist()
        == table(finished, "quarantine")[["path", "reason"]].values.tolist()
    )
    names = {file.path for file in store(finished).list_artifacts(run.info.run_id, "predictions")}
    assert names == {
        f"predictions/{name}" for name in ("predictions.csv", "prediction_quarantine.csv", "prediction_sheet.png")
    }


@pytest.mark.slow
def test_replay_reproduces_the_metrics_and_changes_no_file(finished: Path) -> None:
    whole = next(run for run in runs(finished) if run.info.run_name.startswith("characters"))
    stored = {file: file.stat().st_mtime_ns for file in (finished / "data").rglob("*.*") if file.is_file()}
    kedro_run(finished, "replay", replay__run_id=whole.info.run_id, model__phi=0)  # replay ignores this φ
    report = json.loads((finished / "data/08_reporting/replay_report.json").read_text())
    assert report["agrees"]
    assert report["same_origins"]
    assert {"git_commit", "labels", "version.keras", "version.python"} <= {check["what"] for check in report["checks"]}
    assert report["metrics"]["test_log_loss"]["difference"] == 0
    assert {file: file.stat().st_mtime_ns for file in stored} == stored
    run = runs(finished)[0]
    for name in ("model.phi", "network.phi"):
        assert run.data.params[name] == whole.data.params[name]
    assert run.inputs.dataset_inputs[0].dataset.digest == whole.inputs.dataset_inputs[0].dataset.digest
    assert run.data.metrics["replay_agrees"] == 1
    assert not store(finished).search_model_versions(f"run_id = '{run.info.run_id}'")


def files_with_a_canary(project: Path) -> list[Path]:
    files = [file for file in project.rglob("*") if file.is_file() and not file.is_relative_to(project / "conf/local")]
    assert any(file.name == "mlflow.db" for file in files)
    return [file for file in files if CANARY.encode() in file.read_bytes()]


def test_secret_parameter_is_in_no_file_of_a_whole_run(finished: Path) -> None:
    assert files_with_a_canary(finished) == []
    run = next(run for run in runs(finished) if run.info.run_name.startswith("characters"))
    assert run.data.params["images.scan.engine_options.token"] == "**********"
    assert "threading" in run.data.tags["runtime_params"]


@pytest.mark.long
def test_secrets_of_this_machine_are_in_no_log_artifact_or_database(project: Path) -> None:
    local = project / "conf/local"
    (local / "credentials.yml").write_text(f"server:\n  token: {CANARY}-credential\n")
    (local / "parameters.yml").write_text(json.dumps({"images": {"scan": SECRET_OPTION}}))
    option = f"images.scan.engine_options.other.secret={CANARY}-argument"
    environment = os.environ | {"GOODBAD_TOKEN": f"{CANARY}-environment"}
    done = command(project, "run", "--pipeline=data", f"--params={option}", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    invalid = command(project, "run", "--pipeline=data", f"--params=images.scan.timeout.secret={CANARY}-misplaced")
    assert "images.scan.timeout: " in invalid.stderr
    assert CANARY not in done.stdout + done.stderr + invalid.stdout + invalid.stderr
    assert files_with_a_canary(project) == []
    (run,) = runs(project)
    assert {run.data.params[f"images.scan.engine_options.{name}"] for name in ("token", "other")} == {"**********"}


@pytest.mark.long
@pytest.mark.no_cover
def test_second_identical_run_has_the_same_metrics_and_registers_no_second_version(
    finished: Path, tmp_path: Path
) -> None:
    splits, metrics = (
        finished / path for path in ("data/05_model_input/splits.parquet", "data/08_reporting/test_metrics.json")
    )
    before = splits.read_bytes(), json.loads(metrics.read_text())
    kedro_run(finished)
    assert splits.read_bytes() == before[0]
    assert json.loads(metrics.read_text()) == before[1]
    client = store(finished)
    (version,) = client.search_model_versions("name = 'goodbad'")
    assert client.get_registered_model("goodbad").aliases == {"champion": version.version}
    decided = json.loads((finished / "data/06_models/registered_model.json").read_text())
    assert (decided["version"], decided["metrics"]) == (str(version.version), before[1])


@pytest.mark.slow
def test_train_alone_changes_only_phi(again: Path) -> None:
    kedro_run(again, "train", model__phi=-4)
    (run,) = runs(again)
    assert run.info.run_name == "train · characters · goodbad · lite φ=-4 48 px"
    assert run.data.params["model.phi"] == "-4.0"
    assert run.data.params["model.family"] == "efficientnet_lite"
    assert run.data.params["model.resolution"] == "48"
    assert "splits.seed" not in run.data.params


@pytest.mark.slow
def test_a_champion_of_other_classes_is_not_compared(finished: Path) -> None:
    labels = finished / "data/01_raw/characters/labels.csv"
    original = labels.read_text()
    try:
        labels.write_text(original.replace(",good,", ",noble,"))
        kedro_run(finished)
        challenger = store(finished).get_model_version_by_alias("goodbad", "challenger")
        assert "its classes are bad, good, but the data has the classes bad, noble" in challenger.description
    finally:
        labels.write_text(original)
