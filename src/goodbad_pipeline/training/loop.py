"""The training loop: train, check the loss, validate, compare epochs and write checkpoints.

Unlike the loop of Keras, this loop can stop after any step and resume there. The final weights are then the same, bit
for bit, as without the stop.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.training.distributed import SINGLE_PROCESS, Strategy
from goodbad_pipeline.training.fused_ops import fused_training
from goodbad_pipeline.training.optimizers import averaged_weights
from goodbad_pipeline.training.progress import Progress, ProgressReporter
from goodbad_pipeline.training.saving import Saver, restore
from goodbad_pipeline.training.stopping import Stopped, StopRequest, check_loss

Batch = tuple[Any, ...]  # pixels, targets and, optionally, weights: arrays, or tensors of the backend
StepCallback = Callable[[dict[str, float]], None]  # called after each step with its metrics; may raise to end training


@dataclass(frozen=True)
class Phase:
    """A part of training with one optimizer.

    ``validate(check_stop)`` returns metrics whose names begin with ``val_``. After each batch, ``validate`` calls
    ``check_stop``, which may raise to end the training.
    """

    name: str  # for logs and the history
    model: keras.Model  # compiled
    batches: Callable[[int], Batch]  # returns the batch of a step (0, 1, …); a step always has the same batch
    steps: int  # number of steps per epoch
    epochs: int  # maximum number of epochs
    validate: Callable[[Callable[[], None]], dict[str, float]]


@dataclass(frozen=True)
class Rules:
    """The rules that decide when a phase ends and which weights are kept.

    ``patience`` cannot end a phase in the first half. The learning rate is still high then, validation metrics
    fluctuate, and an early epoch may be best by chance.
    """

    monitor: str  # metric that decides which epoch is best
    larger_is_better: bool
    patience: int  # number of epochs without improvement after which the phase ends
    loss_limit: float  # in nats; training has diverged if the loss of a step is larger
    keeps_last: bool = False  # True if the weights of the last epoch are kept, not those of the best epoch


@dataclass
class Loop:
    """Runs the phases of one training."""

    rules: Rules
    saver: Saver
    reporter: ProgressReporter
    strategy: Strategy = SINGLE_PROCESS
    stop: StopRequest = field(default_factory=StopRequest)
    step_callback: StepCallback | None = None
    _kept: list[np.ndarray] | None = field(default=None, init=False)  # the weights to keep when the phase ends

    def run(self, phase: Phase, progress: Progress, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Train until the phase ends. The model then has the weights of the best or last epoch, as ``rules`` state.

        ``progress`` is updated. ``arrays`` is the saved state of the model if training resumes within the phase, else
        None. Raises the errors of :func:`goodbad_pipeline.training.train.fit_model`.
        """
        self._kept = None if arrays is None else restore(phase.model, arrays)
        steps = range(progress.step, phase.steps * phase.epochs)
        with fused_training(phase.model), closing(_prefetch(phase.batches, steps)) as batches:
            while progress.epoch < phase.epochs and not self._out_of_patience(phase, progress):
                self._run_epoch(phase, progress, batches)
        if self._kept is not None:
            phase.model.set_weights(self._kept)

    def _out_of_patience(self, phase: Phase, progress: Progress) -> bool:
        return progress.waited >= self.rules.patience and 2 * progress.epoch >= phase.epochs

    def _run_epoch(self, phase: Phase, progress: Progress, batches: Iterator[Batch]) -> None:
        title = f"{phase.name} epoch {progress.epoch + 1}/{phase.epochs}"
        done = progress.step - progress.epoch * phase.steps
        self.reporter.open_epoch(title, phase.steps, done)
        for step in range(done, phase.steps):
            self._run_step(phase, progress, batches, f"step {step + 1} of {title}")
            self.reporter.advance()
        self._finish_epoch(phase, progress, title)

    def _run_step(self, phase: Phase, progress: Progress, batches: Iterator[Batch], where: str) -> None:
        started = time.perf_counter()
        metrics = self.strategy.train_step(phase.model, next(batches))
        if self.step_callback is not None:
            self.step_callback(metrics)
        check_loss(metrics["loss"], where=where, limit=self.rules.loss_limit, kept=self.saver.kept)
        progress.add_step(metrics, time.perf_counter() - started)
        stop = self.strategy.any(self.stop.is_set())
        if stop or self.saver.due():
            self.saver.save(progress, phase.model, self._kept, where)
        if stop:
            raise Stopped(self.stop.reason or "another process", f"after {where}; {self.saver.kept}")

    def _finish_epoch(self, phase: Phase, progress: Progress, title: str) -> None:
        started = time.perf_counter()
        try:
            with averaged_weights(phase.model):
                metrics, weights = phase.validate(self._check_stop), phase.model.get_weights()
        except Stopped as stopped:
            self.saver.save(progress, phase.model, self._kept, f"validation after {title}")
            raise Stopped(stopped.reason, f"in validation after {title}; {self.saver.kept}") from None
        check_loss(metrics["val_loss"], where=f"validation after {title}", limit=math.inf, kept=self.saver.kept)
        metrics["learning_rate"] = float(keras.ops.convert_to_numpy(phase.model.optimizer.learning_rate))
        progress.seconds += time.perf_counter() - started
        row = progress.close_epoch(phase.name, phase.steps, metrics)
        better = progress.judge(row[self.rules.monitor], larger_is_better=self.rules.larger_is_better)
        if better or (self.rules.keeps_last and progress.epoch == phase.epochs):
            self._kept, progress.kept = weights, row["epoch"]
        # The checkpoint is written first, so that an epoch is never reported twice with different numbers.
        self.saver.save(progress, phase.model, self._kept, f"the end of {title}")
        self.reporter.close_epoch(title, row)

    def _check_stop(self) -> None:
        if self.strategy.process_count == 1:  # several processes stop together, after a train step
            self.stop.check("in validation")


def _prefetch(batches: Callable[[int], Batch], steps: range) -> Generator[Batch]:
    """Yield the batch of each step, while a thread prepares the next batch."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        futures = (pool.submit(batches, step) for step in steps)
        pending = next(futures, None)
        while pending is not None:
            batch, pending = pending.result(), next(futures, None)
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
