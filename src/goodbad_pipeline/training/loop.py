"""The training loop: step, guard, checkpoint; validate, judge, checkpoint. Its next move depends on its state alone.

Keras's own loop cannot stop between two steps and go on there; this one can, and gives the same weights bit for bit.
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np

from goodbad_pipeline.training.distributed import team
from goodbad_pipeline.training.fused_ops import fused_training
from goodbad_pipeline.training.optimizers import averaged_weights
from goodbad_pipeline.training.progress import Progress, Report
from goodbad_pipeline.training.saving import Saver, restore
from goodbad_pipeline.training.stopping import STOP, Stopped, StopRequest
from goodbad_pipeline.training.validation import check_loss

Batch = tuple[Any, ...]
"""Pixels, targets and, it may be, weights: arrays, or the backend's tensors."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training under one optimizer.

    Attributes:
        name: To show.
        model: The compiled model.
        batches: From the number of a step (0, 1, …) to its images, targets and, it may be, weights; the same for the
            same number.
        steps: Steps an epoch.
        epochs: Epochs at most.
        validate: Measures the model on validation: names that begin with ``val_``. What it is given it calls every now
            and then, and lets pass what that raises.
    """

    name: str
    model: keras.Model
    batches: Callable[[int], Batch]
    steps: int
    epochs: int
    validate: Callable[[Callable[[], None]], dict[str, float]]


@dataclass(frozen=True)
class Rules:
    """When a phase ends.

    Attributes:
        monitor: The measure that decides which weights are best.
        larger_is_better: Whether more of it is better.
        patience: Epochs without a better one after which a phase ends, not before half of it: until the rate falls,
            validation swings, and a network without weights answers best before it has learnt anything.
        loss_limit: Loss of a step, in nats, beyond which training has exploded.
        keeps_last: Whether a phase that comes to its last epoch ends with the weights of that, not of the best one.
    """

    monitor: str
    larger_is_better: bool
    patience: int
    loss_limit: float
    keeps_last: bool = False


class Loop:
    """Runs phases.

    Args:
        rules: When a phase ends.
        saver: Writes checkpoints.
        report: Is told of each epoch.
        stop: Looked at after each step, and within validation.
    """

    def __init__(self, rules: Rules, saver: Saver, report: Report, stop: StopRequest = STOP) -> None:
        self._rules, self._saver, self._report, self._stop = rules, saver, report, stop
        self._kept: list[np.ndarray] | None = None

    def run(self, phase: Phase, progress: Progress, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Train until the phase ends; the model then has the weights that the rules keep.

        Args:
            phase: What to do.
            progress: Where it is; moved on.
            arrays: State of the model there, where it is not the beginning.

        Raises:
            Stopped: Somebody asked for it; a checkpoint is written.
            InputError: The loss or the weights are spoilt, or a checkpoint cannot be written.
        """
        self._kept = None if arrays is None else restore(phase.model, arrays)
        with fused_training(phase.model), _Feed(phase.batches, progress.step, phase.steps * phase.epochs) as feed:
            while progress.epoch < phase.epochs and not self._gives_up(phase, progress):
                self._run_epoch(phase, progress, feed)
        if self._kept is not None:
            phase.model.set_weights(self._kept)

    def _gives_up(self, phase: Phase, progress: Progress) -> bool:
        return progress.waited >= self._rules.patience and 2 * progress.epoch >= phase.epochs

    def _run_epoch(self, phase: Phase, progress: Progress, feed: "_Feed") -> None:
        title = f"{phase.name} epoch {progress.epoch + 1}/{phase.epochs}"
        done = progress.step - progress.epoch * phase.steps
        self._report.open_epoch(title, phase.steps, done)
        for place in range(done, phase.steps):
            self._run_step(phase, progress, feed, f"step {place + 1} of {title}")
            self._report.move()
        self._finish_epoch(phase, progress, title)

    def _run_step(self, phase: Phase, progress: Progress, feed: "_Feed", where: str) -> None:
        started = time.perf_counter()
        measures = team().step(phase.model, feed.take())
        check_loss(measures["loss"], where=where, limit=self._rules.loss_limit, kept=self._saver.kept)
        progress.add_step(measures, time.perf_counter() - started)
        stop = team().any(bool(self._stop))
        if stop or self._saver.due():
            self._saver.save(progress, phase.model, self._kept, where)
        if stop:
            raise Stopped(self._stop.reason or "another process", f"after {where}; {self._saver.kept}")

    def _finish_epoch(self, phase: Phase, progress: Progress, title: str) -> None:
        started = time.perf_counter()
        try:
            with averaged_weights(phase.model):
                metrics, weights = phase.validate(self._look), phase.model.get_weights()
        except Stopped as stopped:
            self._saver.save(progress, phase.model, self._kept, f"validation after {title}")
            raise Stopped(stopped.reason, f"in validation after {title}; {self._saver.kept}") from None
        check_loss(metrics["val_loss"], where=f"validation after {title}", limit=math.inf, kept=self._saver.kept)
        metrics["learning_rate"] = float(keras.ops.convert_to_numpy(phase.model.optimizer.learning_rate))
        progress.seconds += time.perf_counter() - started
        row = progress.close_epoch(phase.name, phase.steps, metrics)
        better = progress.judge(row[self._rules.monitor], larger_is_better=self._rules.larger_is_better)
        if better or (self._rules.keeps_last and progress.epoch == phase.epochs):
            self._kept, progress.kept = weights, row["epoch"]
        # First the checkpoint: a listener that has heard of an epoch never hears of it again with other numbers.
        self._saver.save(progress, phase.model, self._kept, f"the end of {title}")
        self._report.close_epoch(title, row)

    def _look(self) -> None:
        """End validation if somebody asks: it may take minutes. Several processes stop between steps alone, as one."""
        if self._stop and team().count == 1:
            raise Stopped(self._stop.reason, "in validation")


class _Feed:
    """Makes the next batch while a step runs."""

    def __init__(self, batches: Callable[[int], Batch], start: int, end: int) -> None:
        self._batches, self._next, self._end = batches, start, end
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: Future[Batch] | None = None

    def __enter__(self) -> Self:
        self._order()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self) -> Batch:
        """Return the next batch."""
        assert self._coming is not None, "no batch is left"
        batch = self._coming.result()
        self._order()
        return batch

    def _order(self) -> None:
        self._coming = self._pool.submit(self._batches, self._next) if self._next < self._end else None
        self._next += 1
