"""Searches on record: a store, handed to the node that tunes like any other input."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline.experiments.study import StudyStore
from goodbad_pipeline.tracking import current_run


class StudyDataset(AbstractDataset[None, StudyStore]):
    """Loads the store of searches; each notes the MLflow run that was active, so that it can be continued.

    Args:
        filepath: The sqlite file; it may be removed at any time, at the cost of starting anew.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._file = Path(filepath)
        self.metadata = metadata

    def load(self) -> StudyStore:
        """Return the store."""
        return StudyStore(self._file, owner=current_run)

    def save(self, data: None) -> None:
        """Refuse: trials are recorded while the search goes on."""
        raise DatasetError("Trials are recorded through the store that this dataset loads, not by saving")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._file)}
