"""A folder in which a function keeps what it can find again: it may be removed at any time."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError


class FolderDataset(AbstractDataset[None, Path]):
    """Loads the folder's path.

    Args:
        filepath: The folder; it need not exist.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the path."""
        return self._folder

    def save(self, data: None) -> None:
        """Refuse: the function that is given the path writes into it."""
        raise DatasetError("A folder fills when the function that is given it runs, not by saving")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
