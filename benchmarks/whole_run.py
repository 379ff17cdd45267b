"""`kedro run` on the sample, from images to a registered model, against a bare script with the same training.

The script (`tutorial`) receives the splits and reads each image once. It does not check files, search duplicates,
track or register. Both are commands, so the start of Python and TensorFlow counts. Each run starts without the
outputs of earlier runs and trains to its last epoch. A run takes minutes, so there are few pairs.
"""

import json
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Benchmark, Run
from benchmarks.projects import KEDRO, PROJECT, copy_project, run_quietly

PAIRS = 3
PATIENCE = 1000  # epochs; disables early stopping, so that both train equally long
IMAGES = Path("data", "01_raw", "characters")
SPLITS, START, RECIPE = "data/05_model_input/splits.parquet", "start.keras", "recipe.json"
_MLFLOW = ("mlflow.db*", "mlartifacts", "mlruns")


def _project_run(folder: Path) -> Run:
    return partial(_kedro_run, _fresh_project(folder), "__default__")


def _project_train(folder: Path) -> Run:
    return partial(_kedro_run, _split_project(folder), "train")


def _kedro_run(project: Path, pipeline: str) -> None:
    """Run a pipeline in a copy of the project, with its own MLflow store."""
    with TemporaryDirectory(dir=project.parent) as parent:
        copy = shutil.copytree(project, Path(parent, "project"), ignore=shutil.ignore_patterns(*_MLFLOW))
        run_quietly([KEDRO, "run", f"--pipeline={pipeline}", f"--params=training.patience={PATIENCE}"], copy)


def _script(folder: Path) -> Run:
    project = _split_project(folder)

    def run() -> None:
        with TemporaryDirectory(dir=folder) as outputs:
            script = Path(__file__).with_name("tutorial.py")
            run_quietly([sys.executable, script, IMAGES, SPLITS, START, RECIPE, outputs], project)

    return run


def _fresh_project(folder: Path) -> Path:
    """Return the project with its sample, without outputs."""
    project = folder / "fresh"
    if not project.is_dir():
        shutil.copytree(PROJECT / IMAGES, project / IMAGES)
        copy_project(project)
    return project


def _split_project(folder: Path) -> Path:
    """Return the project with splits, and with the network and recipe of the script."""
    project = folder / "split"
    if not project.is_dir():
        shutil.copytree(_fresh_project(folder), project)
        run_quietly([KEDRO, "run", "--pipeline=data"], project)
        run_quietly([sys.executable, "-m", "benchmarks.whole_run", project], PROJECT)
    return project


def _write_start(project: Path) -> None:
    """Write the untrained network and the recipe of the project's parameters."""
    from kedro.framework.session import KedroSession  # noqa: PLC0415
    from kedro.framework.startup import bootstrap_project  # noqa: PLC0415

    from goodbad_pipeline.network_factory import initial_weights, network_scale  # noqa: PLC0415
    from goodbad_pipeline.networks import build_network  # noqa: PLC0415 - starts TensorFlow
    from goodbad_pipeline.params import validate_parameters  # noqa: PLC0415

    bootstrap_project(project)
    with KedroSession.create(project) as session:
        parameters = session.load_context().params
    groups = validate_parameters(parameters)
    model, training = groups["model"], groups["training"]
    scale = network_scale(model)
    weights = initial_weights(model, scale)
    build_network(scale, classes=2, weights=weights, seed=0).save(project / START)
    recipe = training.recipe(jit_compile=False)
    (project / RECIPE).write_text(
        json.dumps({**asdict(recipe), "patience": PATIENCE, "pretrained": weights is not None})
    )


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="make_run",
        compares="`kedro run` on the sample, images to registered model / a bare script of the same training",
        project=_project_run,
        reference=_script,
        target=1.0,
        higher=False,
        warm_up=False,
        pairs=PAIRS,
    ),
    Benchmark(
        file=__name__,
        name="pipeline_train",
        compares="`kedro run --pipeline=train` less a bare script of the same training",
        project=_project_train,
        reference=_script,
        target=2.0,
        difference=True,
        warm_up=False,
        pairs=PAIRS,
    ),
]

if __name__ == "__main__":
    _write_start(Path(sys.argv[1]))
