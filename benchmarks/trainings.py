"""Trainings that are compared: which ones there are, and what each gave, kept so that none is done twice."""

import argparse
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.classifiers import Job, train
from benchmarks.ingested import Changes, Project, changed, read_project
from benchmarks.results import Entry, keep, machine, read
from goodbad_pipeline.params import TrainingParams, decisive_parameters, validate_parameters
from goodbad_pipeline.params.training import AugmentationParams
from goodbad_pipeline.tracking.provenance import git_state
from goodbad_pipeline.training.config_hash import splits_digest

ROOT = Path(__file__).parents[1]
STOCK_EPOCHS = (15,)
TUTORIAL_EPOCHS = (10, 10)
PROBE_EPOCHS = 2  # of a training that tells how long an epoch takes


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        title: To show; what the defaults are decides what the opposite is.
        changes: Of the parameters.
        arm: Who trains, see :mod:`benchmarks.classifiers`.
        epochs: Of those that do not go by the parameters.
        as_long_as: Name of the variant whose seconds it is given.
    """

    title: str
    changes: Changes
    arm: str = "ours"
    epochs: tuple[int, ...] = ()
    as_long_as: str | None = None


def variants(training: TrainingParams, stock: Sequence[int], tutorial: Sequence[int]) -> dict[str, Variant]:
    """Every variant by the name it is asked for by.

    Args:
        training: The parameters to begin with.
        stock: Epochs of the stock network.
        tutorial: Epochs of the tutorial's two phases.
    """
    averaged = ("no EMA", 0) if training.ema else ("with EMA (half-life half an epoch)", 0.5)
    scratch = {"model.weights": "none", "model.grow_from": None}
    return {
        "default": Variant("default", {}),
        "head": Variant("head only", {"training.epochs": 0}),
        "plain": Variant("no augmentation", {"training.augmentation": _none(training.augmentation)}),
        "ema": Variant(averaged[0], {"training.ema": averaged[1]}),
        "scratch": Variant("from scratch", scratch),
        "stock": Variant(
            f"keras.applications B0 from scratch, {stock[0]} epochs", {}, arm="stock", epochs=tuple(stock)
        ),
        "scratch_as_long": Variant("from scratch, in the time of keras.applications", scratch, as_long_as="stock"),
        "tutorial": Variant("tutorial", {}, arm="tutorial", epochs=tuple(tutorial)),
    }


def _none(augmentation: AugmentationParams) -> dict[str, Any]:
    said = augmentation.model_dump()
    return {name: value if name == "rand_magnitude" else type(value)(0) for name, value in said.items()}


class Trainings:
    """Does trainings of a project, each once, and keeps what they gave.

    Args:
        project: The images and parameters.
        known: The variants.
        file: JSON file of all that was ever measured, by name.
        run: Does a job; by default in a process of its own.
    """

    def __init__(
        self,
        project: Project,
        known: dict[str, Variant],
        file: Path,
        run: Callable[[Job], dict[str, Any]] | None = None,
    ) -> None:
        self._project, self._known, self._file, self._run = project, known, file, run or _in_a_process

    def entry(self, name: str, seed: int) -> Entry:
        """What a variant gave on the splits of a seed: as it was kept, if nothing that decides it has changed."""
        variant, key = self._known[name], f"{self._project.name} / {name} / {seed}"
        told = {} if variant.as_long_as is None else {"given": self.entry(variant.as_long_as, seed)["seconds"]}
        changes = {**variant.changes, "splits.seed": seed}
        job = Job(variant.arm, self._project.labels, self._project.changed(changes), variant.epochs)
        settings = _digest(job, self._project.splits(seed), told)
        kept = read(self._file).get(key)
        if kept is not None and kept["settings"] == settings:
            return kept
        if told:
            job = self._shortened(job, seed, told["given"])
        found = self._run(job)
        last = found["curve"][-1]
        entry = {"name": key, "title": variant.title, "seed": seed, "settings": settings, **told, **found}
        entry |= {"seconds": last["seconds"], "cpu": last["cpu"], "epochs": len(found["curve"])}
        entry |= {"date": date.today().isoformat(), "machine": machine(), "commit": _commit()}
        keep({**read(self._file), key: entry}, self._file)
        print(f"{key}: {entry['epochs']} epochs, {entry['seconds']:.0f} s, {found['validation']}, test {found['test']}")
        return entry

    def _shortened(self, job: Job, seed: int, seconds: float) -> Job:
        """The job with as many epochs as fit into some seconds, by what the first epochs take."""
        probe = {"splits.seed": seed, "training.scratch_epochs": PROBE_EPOCHS}
        curve = self._run(Job(job.arm, job.labels, changed(job.parameters, probe)))["curve"]
        epochs = epochs_within(seconds, [point["seconds"] for point in curve])
        return Job(job.arm, job.labels, changed(job.parameters, {"training.scratch_epochs": epochs}))


def epochs_within(seconds: float, ends: Sequence[float]) -> int:
    """How many epochs some seconds are worth, at least 1; the first one takes longer by what is built and traced.

    Args:
        seconds: What there is.
        ends: When each epoch of a short training ended; at least two.
    """
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    return max(1, int((seconds - ends[0]) / each) + 1) if seconds > ends[0] else 1


def _digest(job: Job, splits: Any, told: dict[str, Any]) -> str:
    """SHA-256 over what is asked for; the code is not in it, the commit is told beside the result."""
    groups = validate_parameters(job.parameters)
    if job.arm == "ours":
        decisive = decisive_parameters(groups["model"], groups["training"], groups["images"])  # type: ignore[arg-type]
    else:
        decisive = {"model": groups["model"].model_dump(mode="json"), "seed": job.parameters["training"]["seed"]}
    facts = [job.arm, job.epochs, decisive, splits_digest(splits), told]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _commit() -> str:
    state = git_state(ROOT)
    return state["git_commit"][:7] + (" with changes" if state["git_dirty"] == "true" else "")


def _in_a_process(job: Job) -> dict[str, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(train, job).result()


def arguments(prog: str, about: str) -> argparse.ArgumentParser:
    """What both commands take."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{prog}", description=about.partition("\n")[0])
    parser.add_argument("--project", type=Path, default=ROOT, help="folder in which `--pipeline=data` has run")
    parser.add_argument("--params", default="", help="as `kedro run` takes them: a.b=1,c.d=2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="splits.seed of each repetition")
    parser.add_argument("--stock-epochs", type=int, nargs=1, default=STOCK_EPOCHS, metavar="N")
    parser.add_argument("--tutorial-epochs", type=int, nargs=2, default=TUTORIAL_EPOCHS, metavar="N")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/trainings.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/results.md")
    return parser


def trainings(options: argparse.Namespace) -> tuple[Trainings, Project, dict[str, Variant]]:
    """What the arguments speak of."""
    project = read_project(options.project, options.params)
    training = validate_parameters(project.parameters)["training"]
    known = variants(training, options.stock_epochs, options.tutorial_epochs)  # type: ignore[arg-type]
    return Trainings(project, known, options.results), project, known
