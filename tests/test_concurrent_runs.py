"""Concurrent runs: in one project, and in several projects with one database."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from cli_runner import table
from factories import make_project
from filelock import FileLock

from goodbad_pipeline.hooks.run_lock import FOLDER


def kedro(project: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    """Start ``kedro run --env test`` as a process."""
    command = [sys.executable, "-m", "kedro", "run", "--env=test", *arguments]
    return subprocess.Popen(
        command, cwd=project, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_the_second_of_two_runs_in_a_project_names_the_first(project: Path, tmp_path: Path) -> None:
    secret = "images.scan.engine_options.token.secret=CANARY"
    first = kedro(project, "--pipeline=data", f"--params=splits.seed=1,images.scan.engine=threading,{secret}")
    while not (locks := list((project / FOLDER).glob("[!.]*.json"))):
        assert first.poll() is None
        time.sleep(0.02)
    assert "CANARY" not in locks[0].read_text()
    with FileLock(project / FOLDER / ".lock"):  # a run that is stopped while it holds this lock blocks the second run
        first.send_signal(signal.SIGSTOP)  # otherwise it might end before the second has started
    second = kedro(project, "--pipeline=data", "--params=splits.seed=2")
    output = second.communicate()[0]
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0, first.communicate()[0]
    assert second.returncode == 1
    assert f"in use by another run of this project, process {first.pid} on" in output
    assert "splits.seed" in output
    assert "CANARY" not in output
    assert not list((project / FOLDER).glob("*.json"))

    alone = make_project(tmp_path / "alone")
    assert kedro(alone, "--pipeline=data", "--params=splits.seed=1").wait() == 0
    columns = ["image_id", "label", "group", "split"]
    pd.testing.assert_frame_equal(table(project, "splits")[columns], table(alone, "splits")[columns])


@pytest.mark.slow
def test_a_killed_run_blocks_no_other_and_is_closed(project: Path) -> None:
    secret = "images.scan.engine_options.token.secret=CANARY"
    first = kedro(project, "--pipeline=data", f"--params=images.scan.engine=threading,{secret}")
    while not (started := list(project.glob("data/02_intermediate/scan_journal/*"))):
        assert first.poll() is None
        time.sleep(0.02)
    assert started
    first.kill()
    first.wait()
    (left,) = (project / FOLDER).glob("*.json")
    assert "CANARY" not in left.read_text()
    second = kedro(project, "--pipeline=data")
    assert second.wait() == 0, second.communicate()[0]
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("goodbad_pipeline")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED", "KILLED"]


@pytest.mark.slow
def test_eight_concurrent_first_uses_of_one_database(tmp_path: Path) -> None:
    projects = [make_project(tmp_path / f"project_{number}") for number in range(8)]
    counts = []
    for attempt in range(5):
        uri = f"sqlite:///{tmp_path / f'fresh_{attempt}' / 'mlflow.db'}"
        (tmp_path / f"fresh_{attempt}").mkdir()
        processes = [kedro(project, "--pipeline=data", MLFLOW_TRACKING_URI=uri) for project in projects]
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * 8, outputs
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name("goodbad_pipeline")
        runs = client.search_runs([experiment.experiment_id])
        assert [run.info.status for run in runs] == ["FINISHED"] * 8
        for run in runs:
            histories = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
            counts.append({history[0].key: len(history) for history in histories})
    assert len(counts) == 40
    assert counts[0]
    assert all(count == dict.fromkeys(counts[0], 1) for count in counts)
