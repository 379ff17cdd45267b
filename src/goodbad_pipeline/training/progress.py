"""The progress of a training, as JSON values, and its reports: one history over all phases, one line per epoch."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from tqdm import tqdm

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
HISTORY_COLUMNS += ["val_log_loss", "val_balanced_accuracy", "val_f1_macro", "val_roc_auc", "kept"]
Row = dict[str, Any]
"""An epoch of the history, by column; ``epoch`` counts over all phases (1, 2, …)."""

EpochCallback = Callable[[Row], None]
"""Called after each epoch with its row; may raise to end the training."""


@dataclass
class Progress:
    """How far a training is. JSON stores it without loss, floats included."""

    phase: int = 0
    step: int = 0  # finished steps of the phase
    epoch: int = 0  # finished epochs of the phase, including validation
    sums: dict[str, float] = field(default_factory=dict)  # of the metrics over the steps of the current epoch
    seconds: float = 0.0  # spent on the current epoch
    rows: list[Row] = field(default_factory=list)  # one per finished epoch, over all phases
    best: float | None = None  # value of the monitored metric in this phase; None before the first epoch
    waited: int = 0  # epochs since then
    kept: int | None = None  # epoch, over all phases, whose weights are kept; None before the first one
    saves: int = 0  # checkpoints written

    def enter(self, phase: int) -> None:
        """Start another phase."""
        self.phase, self.step, self.epoch, self.best, self.waited = phase, 0, 0, None, 0
        self._clear_epoch()

    def add_step(self, metrics: dict[str, float], seconds: float) -> None:
        """Count a step and its metrics."""
        self.step += 1
        self.seconds += seconds
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def close_epoch(self, phase: str, steps: int, metrics: dict[str, float]) -> Row:
        """Count an epoch and return its row: means over its steps, and ``metrics``."""
        means = {name: total / steps for name, total in self.sums.items()}
        row = {"epoch": len(self.rows) + 1, "phase": phase, **means, **metrics, "seconds": self.seconds}
        self.rows.append(row)
        self.epoch += 1
        self._clear_epoch()
        return row

    def judge(self, value: float, *, larger_is_better: bool) -> bool:
        """Return whether an epoch is the best so far; a tie is not better."""
        better = self.best is None or (value > self.best if larger_is_better else value < self.best)
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        return better

    def table(self) -> pd.DataFrame:
        """Return the history, columns as :data:`HISTORY_COLUMNS`; one epoch is marked as kept."""
        table = pd.DataFrame(self.rows, columns=HISTORY_COLUMNS)
        table["kept"] = table["epoch"] == self.kept
        return table

    def _clear_epoch(self) -> None:
        self.sums, self.seconds = {}, 0.0


class ProgressReporter:
    """Reports each epoch: a progress bar in a terminal, one log line, and a callback."""

    def __init__(self, epoch_callback: EpochCallback | None = None) -> None:
        self._epoch_callback = epoch_callback
        self._bar: tqdm | None = None

    def open_epoch(self, title: str, steps: int, done: int) -> None:
        """Show a progress bar if this is a terminal."""
        if sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=done, desc=title, leave=False)

    def advance(self) -> None:
        """Advance the bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def close_epoch(self, title: str, row: Row) -> None:
        """Remove the bar, log one line and call the callback."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        parts = [f"{name} {row[name]:.4f}" for name in HISTORY_COLUMNS[2:6] if name in row]
        logger.info("%s: %s (%.1f s)", title, ", ".join(parts), row["seconds"])
        self.replay(row)

    def replay(self, row: Row) -> None:
        """Call the callback alone, for an epoch that an earlier process has trained."""
        if self._epoch_callback is not None:
            self._epoch_callback(row)


def epoch_metrics(row: Row) -> dict[str, float]:
    """Return the numbers of an epoch's row, without its number and phase."""
    return {name: float(value) for name, value in row.items() if name not in ("epoch", "phase")}
