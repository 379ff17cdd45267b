"""The DAG that kedro-airflow creates from this project, loaded by Airflow in a separate environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_project

from goodbad_pipeline.pipeline_registry import register_pipelines

pytestmark = pytest.mark.slow
AIRFLOW = ("apache-airflow==3.3.2", "kedro==1.7.0")
PLUGIN = ("kedro-airflow==0.11.0", "python-slugify", "text-unidecode", "semver")
LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(dag_folder=sys.argv[1])
tasks = {name: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} for name, dag in bag.dags.items()}
print(json.dumps({"errors": bag.import_errors, "dags": tasks}))
"""


def install(*arguments: str | Path, python: str | Path = sys.executable) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=True)


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `kedro airflow create`, run as in docs/cluster.md; the plugin is installed in a separate folder."""
    folder = tmp_path_factory.mktemp("writing")
    project = make_project(folder / "project")
    install("--no-deps", f"--target={folder / 'plugin'}", *PLUGIN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "plugin"), *sys.path])}
    command = [
        sys.executable,
        "-m",
        "kedro",
        "airflow",
        "create",
        "--group-by=memory",
        f"--target-dir={folder / 'dags'}",
    ]
    subprocess.run(command, cwd=project, env=environment, check=True)
    return folder / "dags"


@pytest.fixture(scope="module")
def loaded(dags: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The downstream tasks of each task, as Airflow loads them."""
    folder = tmp_path_factory.mktemp("airflow")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / "bin"
    install(*AIRFLOW, python=programs / "python")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean |= {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
    subprocess.run([programs / "airflow", "db", "migrate"], env=clean, cwd=folder, check=True)
    command = [programs / "python", "-c", LOAD, dags]
    done = subprocess.run(command, env=clean, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    loaded_dags = json.loads(done.stdout.splitlines()[-1])
    assert loaded_dags["errors"] == {}
    (tasks,) = loaded_dags["dags"].values()
    return tasks


def test_every_node_is_in_one_task(loaded: dict[str, list[str]]) -> None:
    nodes = {node.name.replace(".", "-").replace("_", "-") for node in register_pipelines()["__default__"].nodes}
    network = ["training-build-model", "training-train-model"]  # not stored before it is trained
    images = ["data-ingestion-group-images", "data-ingestion-report-ingestion", "data-ingestion-check-quarantine"]
    assert set(loaded) == nodes.difference(network, images) | {"-".join(network), "-".join(images)}


def test_tasks_wait_for_what_they_read(loaded: dict[str, list[str]]) -> None:
    training = "training-build-model-training-train-model"
    assert training in loaded["training-cache-pixels"]
    assert "results-evaluation-predict-test" in loaded[training]
    assert [name for name in loaded if name not in {task for after in loaded.values() for task in after}] == [
        "data-ingestion-scan-images"
    ]
