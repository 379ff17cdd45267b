"""`kedro run` on the sample, from nothing to a registered model, against a bare script with the same training.

The script (`tutorial`) is handed the splits and reads no image twice; it does not look for bad files or copies, and
measures, tracks and registers nothing. Both are commands: the start of Python and TensorFlow counts. Nothing is left of
an earlier run but what the operating system keeps of files; neither gives up before its last epoch. A run takes
minutes, so there are few pairs.
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
PATIENCE = 1000  # epochs: more than there are, so that both train as many
IMAGES = Path("data", "01_raw", "characters")
SPLITS, START, RECIPE = "data/05_model_input/splits.parquet", "start.keras", "recipe.json"
_MLFLOW = ("mlflow.db*", "mlartifacts", "mlruns")


def _whole(folder: Path) -> Run:
    return partial(_kedro_run, _fresh(folder), "__default__")


def _train(folder: Path) -> Run:
    return partial(_kedro_run, _split(folder), "train")


def _kedro_run(project: Path, pipeline: str) -> None:
    """Run in a copy, with a store of its own."""
    with TemporaryDirectory(dir=project.parent) as place:
        copy = shutil.copytree(project, Path(place, "project"), ignore=shutil.ignore_patterns(*_MLFLOW))
        run_quietly([KEDRO, "run", f"--pipeline={pipeline}", f"--params=training.patience={PATIENCE}"], copy)


def _script(folder: Path) -> Run:
    project = _split(folder)

    def run() -> None:
        with TemporaryDirectory(dir=folder) as outputs:
            script = Path(__file__).with_name("tutorial.py")
            run_quietly([sys.executable, script, IMAGES, SPLITS, START, RECIPE, outputs], project)

    return run


def _fresh(folder: Path) -> Path:
    """The project with its sample, never run."""
    project = folder / "fresh"
    if not project.is_dir():
        shutil.copytree(PROJECT / IMAGES, project / IMAGES)
        copy_project(project)
    return project


def _split(folder: Path) -> Path:
    """The project with splits, and what the script starts from."""
    project = folder / "split"
    if not project.is_dir():
        shutil.copytree(_fresh(folder), project)
        run_quietly([KEDRO, "run", "--pipeline=data"], project)
        run_quietly([sys.executable, "-m", "benchmarks.whole_run", project], PROJECT)
    return project


def _write_start(project: Path) -> None:
    """Write the untrained network and the recipe that the project's parameters stand for."""
    from kedro.framework.session import KedroSession  # noqa: PLC0415
    from kedro.framework.startup import bootstrap_project  # noqa: PLC0415

    from goodbad_pipeline.network_factory import initial_weights, network_scale  # noqa: PLC0415
    from goodbad_pipeline.networks import build_network  # noqa: PLC0415 - starts TensorFlow

    bootstrap_project(project)
    with KedroSession.create(project) as session:
        parameters = session.load_context().params
    model, training = parameters["model"], parameters["training"]  # typed by what nodes ask for
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
        ours=_whole,
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
        ours=_train,
        reference=_script,
        target=2.0,
        difference=True,
        warm_up=False,
        pairs=PAIRS,
    ),
]

if __name__ == "__main__":
    _write_start(Path(sys.argv[1]))
