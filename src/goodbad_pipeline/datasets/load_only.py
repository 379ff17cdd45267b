"""Datasets that nodes load and never save: folders, and functions or stores that write by themselves."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset, DatasetError

T = TypeVar("T")


class LoadOnlyDataset(AbstractDataset[None, T]):
    """Base class. Kedro's ``exists`` is always true, because loading works before anything is stored.

    Args:
        filepath: A file or folder that may be removed at any time, at the cost of computing its content again.
        metadata: For plugins, such as the layer in Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def save(self, data: None) -> None:
        """Raise a ``DatasetError``."""
        raise DatasetError(f"{type(self).__name__} is load-only; pass what it loads to a node that writes")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class FolderDataset(LoadOnlyDataset[Path]):
    """Loads the path of a folder in which a function stores its cache; the folder need not exist."""

    def load(self) -> Path:
        """Return the path."""
        return self._path


class OptionalDataset(LoadOnlyDataset[Any]):
    """Loads another dataset, or None where that does not exist yet.

    Args:
        dataset: Catalog entry of the other dataset.
        metadata: For plugins, such as the layer in Kedro-Viz.
    """

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._dataset = AbstractDataset.from_config("optional", dataset)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the data, or None."""
        return self._dataset.load() if self._dataset.exists() else None

    def _describe(self) -> dict[str, Any]:
        return dict(self._dataset._describe())
