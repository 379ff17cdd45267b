"""What a training writes while it runs: checkpoints and the metrics of each epoch."""

from typing import Any

from goodbad_pipeline import tracking
from goodbad_pipeline.datasets.load_only import LoadOnlyDataset
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.progress import EpochCallback, Row, epoch_metrics


class CheckpointsDataset(LoadOnlyDataset[CheckpointStore]):
    """Loads the store of checkpoints. Each checkpoint records the current MLflow run, so that a resume continues it."""

    def load(self) -> CheckpointStore:
        """Return the store."""
        return CheckpointStore(self._path, owner=tracking.current_run)


class EpochLogDataset(LoadOnlyDataset[EpochCallback]):
    """Loads a callback that logs the metrics of each epoch to the current MLflow run, if there is one.

    Training itself needs no MLflow. A resumed training logs its earlier epochs again; those that the run has are
    skipped.

    Args:
        metadata: For plugins, such as the layer in Kedro-Viz.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> EpochCallback:
        """Return the callback."""
        return _log_epoch

    def _describe(self) -> dict[str, Any]:
        return {}


def _log_epoch(row: Row) -> None:
    tracking.log_metrics(epoch_metrics(row), step=row["epoch"], once=True)
