"""The progress of a training, and its reports: a progress bar, one log line per epoch and the history."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from tqdm import tqdm

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
HISTORY_COLUMNS += ["val_log_loss", "val_balanced_accuracy", "val_f1_macro", "val_roc_auc", "kept"]
Row = dict[str, Any]  # one epoch of the history: values by column name; ``epoch`` counts over all phases (1, 2, …)
EpochCallback = Callable[[Row], None]  # called after each epoch with its row; may raise to end the training


@dataclass
class Progress:
    """The progress of a training. It can be stored as JSON without loss of precision."""

    phase: int = 0
    step: int = 0  # number of finished steps in the phase
    epoch: int = 0  # number of epochs in the phase that are finished, including validation
    sums: dict[str, float] = field(default_factory=dict)  # sum of each metric over the steps of the current epoch
    seconds: float = 0.0  # time spent on the current epoch
    rows: list[Row] = field(default_factory=list)  # one per finished epoch, over all phases
    best: float | None = None  # best value of the monitored metric in this phase; None before the first epoch
    waited: int = 0  # number of epochs since the best one
    kept: int | None = None  # epoch (counted over all phases) whose weights are kept; None before the first epoch
    saves: int = 0  # number of checkpoints written

    def enter(self, phase: int) -> None:
        """Start the phase with this number, counted from 0."""
        self.phase, self.step, self.epoch, self.best, self.waited = phase, 0, 0, None, 0
        self.sums, self.seconds = {}, 0.0

    def add_step(self, metrics: dict[str, float], seconds: float) -> None:
        """Record a finished step and its metrics."""
        self.step += 1
        self.seconds += seconds
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def close_epoch(self, phase: str, steps: int, metrics: dict[str, float]) -> Row:
        """Record a finished epoch and return its row: the mean of each step metric, and ``metrics``."""
        means = {name: total / steps for name, total in self.sums.items()}
        row = {"epoch": len(self.rows) + 1, "phase": phase, **means, **metrics, "seconds": self.seconds}
        self.rows.append(row)
        self.epoch += 1
        self.sums, self.seconds = {}, 0.0
        return row

    def judge(self, value: float, *, larger_is_better: bool) -> bool:
        """Record the monitored value of an epoch and return whether it is the best of this phase so far."""
        better = self.best is None or (value > self.best if larger_is_better else value < self.best)
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        return better

    def table(self) -> pd.DataFrame:
        """Return the history: `HISTORY_COLUMNS`. The model has the weights of the epoch for which ``kept`` is True."""
        table = pd.DataFrame(self.rows, columns=HISTORY_COLUMNS)
        table["kept"] = table["epoch"] == self.kept
        return table


class ProgressReporter:
    """Reports each epoch by a progress bar in a terminal, a log line and a callback."""

    def __init__(self, epoch_callback: EpochCallback | None = None) -> None:
        self._epoch_callback = epoch_callback

    def open_epoch(self, title: str, steps: int, done: int) -> None:
        """Show a progress bar if stderr is a terminal."""
        self._bar = tqdm(total=steps, initial=done, desc=title, leave=False, disable=None)

    def advance(self) -> None:
        """Advance the progress bar by one step."""
        self._bar.update()

    def close_epoch(self, title: str, row: Row) -> None:
        """Remove the progress bar, log one line and call the callback."""
        self._bar.close()
        parts = [f"{name} {row[name]:.4f}" for name in HISTORY_COLUMNS[2:6] if name in row]
        logger.info("%s: %s (%.1f s)", title, ", ".join(parts), row["seconds"])
        self.replay(row)

    def replay(self, row: Row) -> None:
        """Call the callback, without a log line, for an epoch that was trained before the training was resumed."""
        if self._epoch_callback is not None:
            self._epoch_callback(row)


def epoch_metrics(row: Row) -> dict[str, float]:
    """Return all values in the row of an epoch except ``epoch`` and ``phase``."""
    return {name: float(value) for name, value in row.items() if name not in ("epoch", "phase")}
