"""Whole runs whose MLflow is unavailable: from the start, always, or from some step on."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import keras
import mlflow
import pytest
from cli_runner import kedro_run, runs, store
from click.testing import CliRunner

from goodbad_pipeline import tracking
from goodbad_pipeline.cli import cli
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.tracking import outbox


def test_an_unavailable_server_is_an_error_of_one_line_within_seconds(project: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:9 is unavailable.*tracking\.offline=true"):
        kedro_run(project, "data")
    assert time.monotonic() - began < 60  # MLflow's default timeout is four minutes
    assert not list((project / "data").glob("0[2-8]*/*.parquet"))


@pytest.mark.slow
@pytest.mark.no_cover
def test_an_offline_run_equals_an_online_one_after_it_is_sent(project: Path, monkeypatch) -> None:
    kedro_run(project, "data", tracking__offline=True)
    assert not (project / "mlflow.db").exists()
    assert list(project.glob("data/05_model_input/splits.parquet"))
    monkeypatch.chdir(project)
    sent = CliRunner().invoke(cli, ["send-outbox"])
    assert ", 0 waiting" in sent.output
    assert not list((project / "data/.outbox").glob("[0-9]*"))
    kedro_run(project, "data")
    online, offline = runs(project)
    assert online.info.status == offline.info.status == "FINISHED"
    assert online.data.params == offline.data.params
    assert online.data.metrics == offline.data.metrics
    assert online.data.metrics
    assert [found.dataset.digest for found in online.inputs.dataset_inputs] == [
        found.dataset.digest for found in offline.inputs.dataset_inputs
    ]
    assert artifacts(store(project), online.info.run_id) == artifacts(store(project), offline.info.run_id)


def artifacts(client: mlflow.MlflowClient, run: str, folder: str = "") -> set[str]:
    found = client.list_artifacts(run, folder)
    files = {entry.path for entry in found if not entry.is_dir}
    return files.union(*(artifacts(client, run, entry.path) for entry in found if entry.is_dir))


class MlflowServer:
    """``mlflow server`` with its own store; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        options = {
            "backend-store-uri": f"sqlite:///{self.folder / 'server.db'}",
            "artifacts-destination": str(self.folder / "artifacts"),
            "host": "127.0.0.1",
            "port": str(self.port),
            "workers": "1",
        }
        command = [sys.executable, "-m", "mlflow", "server", *(f"--{name}={value}" for name, value in options.items())]
        with (self.folder / "log").open("ab") as log:
            environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=environment, cwd=self.folder
            )
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return
            time.sleep(0.5)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path):
    serving = MlflowServer(tmp_path / "server")
    serving.start()
    yield serving
    serving.kill()


def recorded(server: MlflowServer, run: str) -> dict:
    """Return what the server has recorded about a run, except numbers that differ between runs."""
    client = mlflow.MlflowClient(server.uri)
    held = client.get_run(run)
    histories = {name: client.get_metric_history(run, name) for name in held.data.metrics}
    return {
        "status": held.info.status,
        "steps": {name: [metric.step for metric in history] for name, history in histories.items()},
        "loss": [metric.value for metric in histories["loss"]],
        "params": held.data.params,
        "artifacts": {path for path in artifacts(client, run) if not path.startswith("model/")},
    }


@pytest.mark.slow
def test_five_trainings_whose_server_is_killed_lose_nothing(
    tiny_project: Path, server: MlflowServer, monkeypatch
) -> None:
    """Nine steps in three epochs. In two of five the server is back before training ends."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.5)
    real, done = keras.Model.train_on_batch, []
    at: dict[int, object] = {}

    def step(self, *data, **options):
        done.append(self)
        if act := at.get(len(done)):
            act()
        return real(self, *data, **options)

    def train(**acts: object) -> str:
        done.clear()
        at.clear()
        at.update({int(name.removeprefix("step")): act for name, act in acts.items()})
        before = {run.info.run_id for run in search()} if server.process else set()
        kedro_run(tiny_project, "train")
        assert len(done) == 9
        if server.process is None:
            server.start()
            sent, waiting = tracking.send_outbox(tiny_project / tracking.OUTBOX_FOLDER)
            assert sent
            assert not waiting
        (run,) = {run.info.run_id for run in search()} - before
        return run

    def search() -> list:
        experiment = mlflow.MlflowClient(server.uri).get_experiment_by_name("goodbad_pipeline")
        return [] if experiment is None else mlflow.MlflowClient(server.uri).search_runs([experiment.experiment_id])

    monkeypatch.setattr(keras.Model, "train_on_batch", step)
    expected = recorded(server, train())
    assert expected["status"] == "FINISHED"
    assert expected["steps"]["loss"] == expected["steps"]["val_loss"] == [1, 2, 3]
    mlflow.MlflowClient(server.uri).delete_registered_model("goodbad")
    kills = [
        {"step1": server.kill},
        {"step5": server.kill},
        {"step9": server.kill},
        {"step2": server.kill, "step6": server.start},
        {"step4": server.kill, "step9": server.start},
    ]
    for acts in kills:
        record = recorded(server, train(**acts))
        assert record == {**expected, "params": record["params"]}
        assert record["params"].keys() == expected["params"].keys()
    assert not list((tiny_project / tracking.OUTBOX_FOLDER).glob("[0-9]*"))

    client = mlflow.MlflowClient(server.uri)
    assert len(client.search_model_versions("name = 'goodbad'")) == 1  # the last two trainings have the same weights
    client.delete_registered_model("goodbad")
    kedro_run(tiny_project, "register")
    assert len(client.search_model_versions("name = 'goodbad'")) == 1
