"""What a run tells while it trains: one history over all phases, one line an epoch."""

import logging
import sys
import time

import keras
import pandas as pd
from tqdm import tqdm

from goodbad_pipeline.training.listener import EpochListener

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]


class History(keras.callbacks.Callback):
    """Collects one row an epoch, numbered on over the phases, and passes it to a listener.

    Args:
        listener: Called after each epoch with its number (1, 2, …) and its metrics; None for nobody.
    """

    def __init__(self, listener: EpochListener | None = None) -> None:
        super().__init__()
        self.rows: list[dict[str, float | str]] = []
        self._listener = listener
        self._phase, self._epochs, self._started = "", 0, 0.0
        self._bar: tqdm | None = None

    def begin_phase(self, phase: str, epochs: int) -> None:
        """Name the phase that the next epochs belong to, and say how many it has at most."""
        self._phase, self._epochs = phase, epochs

    def table(self) -> pd.DataFrame:
        """Return the epochs so far, columns as :data:`HISTORY_COLUMNS`."""
        return pd.DataFrame(self.rows, columns=HISTORY_COLUMNS)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock and, in a terminal, the bar."""
        self._started = time.perf_counter()
        if sys.stderr.isatty():
            self._bar = tqdm(total=self.params["steps"], desc=f"{self._phase} {epoch + 1}/{self._epochs}", leave=False)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the row, tell the listener, write one line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        metrics["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        metrics["seconds"] = time.perf_counter() - self._started
        self.rows.append({"epoch": len(self.rows) + 1, "phase": self._phase, **metrics})
        if self._listener is not None:
            self._listener(len(self.rows), metrics)
        logger.info("%s", self._line(epoch, metrics))

    def _line(self, epoch: int, metrics: dict[str, float]) -> str:
        parts = [f"{name} {metrics[name]:.4f}" for name in HISTORY_COLUMNS[2:6] if name in metrics]
        return f"{self._phase} epoch {epoch + 1}/{self._epochs}: {', '.join(parts)} ({metrics['seconds']:.1f} s)"
