"""Where a training node sends each epoch's metrics: a function, handed to it like any other input."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline import tracking
from goodbad_pipeline.training.progress import EpochCallback


class EpochLogDataset(AbstractDataset[None, EpochCallback]):
    """Loads a function that logs metrics to the MLflow run under way, step by step; without a run it does nothing.

    So training needs no MLflow, and the run's curves grow while it trains. A training that goes on where it was cut off
    tells of the epochs before the cut as well: what the run holds already is not logged twice.

    Args:
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> EpochCallback:
        """Return the function: it takes the epoch's number and its metrics."""
        return _log_epoch

    def save(self, data: None) -> None:
        """Refuse: epochs are logged one by one."""
        raise DatasetError("An epoch log is written by calling the function that it loads, not by saving")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}


def _log_epoch(epoch: int, metrics: dict[str, float]) -> None:
    tracking.log_metrics(metrics, step=epoch, once=True)
