"""Where a training node sends each epoch's metrics: a function, handed to it like any other input."""

from collections.abc import Iterable
from typing import Any

import mlflow
from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline.training.listener import EpochListener


class EpochLogDataset(AbstractDataset[None, EpochListener]):
    """Loads a function that logs metrics to the active MLflow run, step by step; without a run it does nothing.

    So training needs no MLflow, and the run's curves grow while it trains. A training that goes on where it was cut off
    tells of the epochs before the cut as well: what the run holds already is not logged twice.

    Args:
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> EpochListener:
        """Return the function: it takes the epoch's number and its metrics."""
        return _EpochLog()

    def save(self, data: None) -> None:
        """Refuse: epochs are logged one by one."""
        raise DatasetError("An epoch log is written by calling the function that it loads, not by saving")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}


class _EpochLog:
    def __init__(self) -> None:
        self._known: set[tuple[str, int, float]] | None = None

    def __call__(self, epoch: int, metrics: dict[str, float]) -> None:
        run = mlflow.active_run()
        if run is None:
            return
        if self._known is None:
            self._known = _logged(run.info.run_id, metrics)
        new = {name: value for name, value in metrics.items() if (name, epoch, value) not in self._known}
        if new:
            mlflow.log_metrics(new, step=epoch)


def _logged(run_id: str, names: Iterable[str]) -> set[tuple[str, int, float]]:
    """What the run holds of these metrics: name, step and value."""
    client = mlflow.MlflowClient()
    held = client.get_run(run_id).data.metrics
    return {
        (name, metric.step, metric.value)
        for name in names
        if name in held
        for metric in client.get_metric_history(run_id, name)
    }
