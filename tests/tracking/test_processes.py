"""MLflow runs of processes that have ended."""

import subprocess
import sys
from pathlib import Path

import mlflow

from goodbad_pipeline.tracking.processes import clear_end_tags, close_stale_runs, process_tags, tag_new_runs


def test_only_runs_of_ended_processes_of_this_host_are_closed(tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("e", artifact_location=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    mine = process_tags()
    dead = {**mine, "process.pid": str(process.pid)}
    tags = {
        "still running": mine,
        "dead": dead,
        "before the last start": {**mine, "process.boot": "another"},
        "elsewhere": {**dead, "process.host": "another"},
        "another project": {},
        "half": {"process.host": mine["process.host"]},
        "ended": dead,
    }
    runs = {name: client.create_run(experiment, tags=of_run).info.run_id for name, of_run in tags.items()}
    client.set_terminated(runs["ended"], "FINISHED")

    assert close_stale_runs(experiment) == 2
    status = {name: client.get_run(run).info.status for name, run in runs.items()}
    assert {name for name, now in status.items() if now == "KILLED"} == {"dead", "before the last start"}
    assert status["ended"] == "FINISHED"
    assert client.get_run(runs["dead"]).data.tags["stopped"] == f"process {process.pid} ended without closing the run"
    assert close_stale_runs(experiment) == 0

    client.set_tag(runs["dead"], "failure", "a bug")
    clear_end_tags(client.get_run(runs["dead"]))
    assert client.get_run(runs["dead"]).data.tags.keys() & {"stopped", "failure"} == set()


def test_a_new_run_has_the_tags_of_its_process(tmp_path: Path, monkeypatch) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = mlflow.MlflowClient().create_experiment("e", artifact_location=str(tmp_path))
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"team": "mine"}')
    with tag_new_runs(), mlflow.start_run(experiment_id=experiment) as run:
        pass
    assert run.data.tags.items() >= {"team": "mine", **process_tags()}.items()
    with mlflow.start_run(experiment_id=experiment) as other:
        pass
    assert other.data.tags["team"] == "mine"
    assert "process.pid" not in other.data.tags
