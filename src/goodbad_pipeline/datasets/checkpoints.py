"""Checkpoints of a training under way: a store, handed to the training node like any other input."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline.tracking import current_run
from goodbad_pipeline.training.checkpoints import CheckpointStore


class CheckpointsDataset(AbstractDataset[None, CheckpointStore]):
    """Loads the store of checkpoints; each notes the MLflow run that was under way, so that it can be continued.

    Args:
        filepath: Folder of the checkpoints; it may be removed at any time, at the cost of starting anew.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> CheckpointStore:
        """Return the store."""
        return CheckpointStore(self._folder, owner=current_run)

    def save(self, data: None) -> None:
        """Refuse: checkpoints are written while training goes on."""
        raise DatasetError("Checkpoints are written through the store that this dataset loads, not by saving")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
