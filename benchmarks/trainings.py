"""Variants of training, and their recorded results; none is trained twice."""

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
from benchmarks.results import Entry, machine, read, write_json
from goodbad_pipeline.params import TrainingParams, decisive_parameters, validate_parameters
from goodbad_pipeline.params.training import AugmentationParams
from goodbad_pipeline.tracking.run_record import git_state
from goodbad_pipeline.training.config_hash import splits_digest

ROOT = Path(__file__).parents[1]
STOCK_EPOCHS = (15,)
TUTORIAL_EPOCHS = (10, 10)
PROBE_EPOCHS = 2  # of a training that measures the time of an epoch


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        title: Title in tables.
        changes: Changed parameters by dotted name.
        arm: Key of :data:`benchmarks.classifiers.ARMS`.
        epochs: Epochs of an arm that ignores the parameters.
        as_long_as: Name of the variant whose training time limits this one.
    """

    title: str
    changes: Changes
    arm: str = "project"
    epochs: tuple[int, ...] = ()
    as_long_as: str | None = None


def variants(training: TrainingParams, stock: Sequence[int], tutorial: Sequence[int]) -> dict[str, Variant]:
    """Return all variants by name.

    Args:
        training: Unchanged parameters.
        stock: Epochs of the stock network.
        tutorial: Epochs of the tutorial's two phases.
    """
    averaged = ("no EMA", 0) if training.ema else ("with EMA (half-life half an epoch)", 0.5)
    scratch = {"model.weights": "none", "model.grow_from": None}
    return {
        "default": Variant("default", {}),
        "head": Variant("head only", {"training.epochs": 0}),
        "plain": Variant("no augmentation", {"training.augmentation": _disabled(training.augmentation)}),
        "ema": Variant(averaged[0], {"training.ema": averaged[1]}),
        "scratch": Variant("from scratch", scratch),
        "stock": Variant(
            f"keras.applications B0 from scratch, {stock[0]} epochs", {}, arm="stock", epochs=tuple(stock)
        ),
        "scratch_as_long": Variant("from scratch, in the time of keras.applications", scratch, as_long_as="stock"),
        "tutorial": Variant("tutorial", {}, arm="tutorial", epochs=tuple(tutorial)),
    }


def _disabled(augmentation: AugmentationParams) -> dict[str, Any]:
    values = augmentation.model_dump()
    return {name: value if name == "rand_magnitude" else type(value)(0) for name, value in values.items()}


class Trainings:
    """Runs the trainings of a project, each once, and records their results.

    Args:
        project: Images and parameters.
        known: Variants by name.
        file: JSON file of all results.
        run: Runs a job; by default in its own process.
    """

    def __init__(
        self,
        project: Project,
        known: dict[str, Variant],
        file: Path,
        run: Callable[[Job], dict[str, Any]] | None = None,
    ) -> None:
        self.project, self._known, self._file, self._run = project, known, file, run or _run_in_process

    def entry(self, name: str, seed: int) -> Entry:
        """Return the result of a variant on the splits of a seed; train unless it is recorded with these settings."""
        variant, key = self._known[name], f"{self.project.name} / {name} / {seed}"
        limit = {} if variant.as_long_as is None else {"given": self.entry(variant.as_long_as, seed)["seconds"]}
        changes = {**variant.changes, "splits.seed": seed}
        job = Job(variant.arm, self.project.labels, self.project.changed(changes), variant.epochs)
        settings = _digest(job, self.project.splits(seed), limit)
        recorded = read(self._file).get(key)
        if recorded is not None and recorded["settings"] == settings:
            return recorded
        if limit:
            job = self._shorten(job, seed, limit["given"])
        result = self._run(job)
        last = result["curve"][-1]
        entry = {"name": key, "title": variant.title, "seed": seed, "settings": settings, **limit, **result}
        entry |= {"seconds": last["seconds"], "cpu": last["cpu"], "epochs": len(result["curve"])}
        entry |= {"date": date.today().isoformat(), "machine": machine(), "commit": _commit()}
        write_json({**read(self._file), key: entry}, self._file)
        scores = f"validation {result['validation']}, test {result['test']}"
        print(f"{key}: {entry['epochs']} epochs, {entry['seconds']:.0f} s, {scores}")
        return entry

    def _shorten(self, job: Job, seed: int, seconds: float) -> Job:
        """Return the job with as many epochs as fit into the seconds, by the time of its first epochs."""
        probe = {"splits.seed": seed, "training.scratch_epochs": PROBE_EPOCHS}
        curve = self._run(Job(job.arm, job.labels, changed(job.parameters, probe)))["curve"]
        epochs = epochs_within(seconds, [point["seconds"] for point in curve])
        return Job(job.arm, job.labels, changed(job.parameters, {"training.scratch_epochs": epochs}))


def epochs_within(seconds: float, ends: Sequence[float]) -> int:
    """Return how many epochs fit into the seconds, at least 1. The first takes longer, as it builds and traces.

    Args:
        seconds: Available seconds.
        ends: End of each epoch of a short training, at least two, in seconds.
    """
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    return max(1, int((seconds - ends[0]) / each) + 1) if seconds > ends[0] else 1


def _digest(job: Job, splits: Any, limit: dict[str, Any]) -> str:
    """Return the SHA-256 of the settings. The code does not count; the commit is recorded with the result."""
    groups = validate_parameters(job.parameters)
    if job.arm == "project":
        decisive = decisive_parameters(groups["model"], groups["training"], groups["images"])  # type: ignore[arg-type]
    else:
        decisive = {"model": groups["model"].model_dump(mode="json"), "seed": job.parameters["training"]["seed"]}
    arm = "ours" if job.arm == "project" else job.arm  # the name in recorded digests
    facts = [arm, job.epochs, decisive, splits_digest(splits), limit]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _commit() -> str:
    state = git_state(ROOT)
    return state["git_commit"][:7] + (" with changes" if state["git_dirty"] == "true" else "")


def _run_in_process(job: Job) -> dict[str, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(train, job).result()


def argument_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of both commands."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{prog}", description=description.partition("\n")[0])
    parser.add_argument("--project", type=Path, default=ROOT, help="project in which `--pipeline=data` has run")
    parser.add_argument("--params", default="", help="as in `kedro run --params`: a.b=1,c.d=2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="splits.seed of each repetition")
    parser.add_argument("--stock-epochs", type=int, nargs=1, default=STOCK_EPOCHS, metavar="N")
    parser.add_argument("--tutorial-epochs", type=int, nargs=2, default=TUTORIAL_EPOCHS, metavar="N")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/trainings.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/results.md")
    return parser


def open_trainings(options: argparse.Namespace) -> Trainings:
    """Return the trainings of the project that the arguments name."""
    project = read_project(options.project, options.params)
    training = validate_parameters(project.parameters)["training"]
    known = variants(training, options.stock_epochs, options.tutorial_epochs)  # type: ignore[arg-type]
    return Trainings(project, known, options.results)
