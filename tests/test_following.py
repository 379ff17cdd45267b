"""The two commands of docs/cluster.md on one machine: one process trains and registers, the other follows."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import command, runs, store
from factories import make_project

from goodbad_pipeline.hooks.run_lock import FOLDER

DISTRIBUTED = "--params=training.distributed=true,training.data_shards=2"


def start(project: Path, address: str, index: int) -> subprocess.Popen:
    """Start one of two processes, whose output is written to ``<index>.log``."""
    pipeline = "follow" if index else "train"
    cluster = {"COORDINATOR_ADDRESS": "127.0.0.1", "COORDINATOR_PORT": address, "NUM_PROCESSES": "2"}
    with (project / f"{index}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kedro", "run", "--env=test", f"--pipeline={pipeline}", DISTRIBUTED],
            cwd=project,
            env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PROCESS_ID": str(index)} | cluster,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.slow
def test_train_and_follow_end_in_one_run_and_one_version(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    done = command(project, "run", "--env=test", "--pipeline=data")
    assert done.returncode == 0, done.stdout + done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [start(project, port, index) for index in range(2)]
    try:
        ended = [process.wait(timeout=900) for process in processes]
    finally:
        for process in processes:
            process.kill()
    outputs = [(project / f"{index}.log").read_text() for index in range(2)]
    assert ended == [0, 0], "\n".join(outputs)
    for index in range(2):
        assert f"Process {index + 1} of 2" in outputs[index]
    recorded = runs(project)
    assert [run.info.status for run in recorded] == ["FINISHED", "FINISHED"]
    assert [run.info.run_name.split()[0] for run in recorded] == ["train", "data"]
    (version,) = store(project).search_model_versions("name='goodbad'")
    assert (int(version.version), version.run_id) == (1, recorded[0].info.run_id)
    assert not list((project / FOLDER).glob("*.json"))
    assert not list(project.glob("data/06_models/checkpoints/*"))
