"""Base classes of datasets with one path, and datasets that nodes load and never save."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset, DatasetError

S = TypeVar("S")
T = TypeVar("T")


class PathDataset(AbstractDataset[S, T]):
    """A file or folder without versions. ``metadata`` is for plugins, such as the layer in Kedro-Viz."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class LoadOnlyDataset(PathDataset[None, T]):
    """A folder, or a function or store that writes by itself. Removing its files costs computing them again.

    Kedro's ``exists`` is always true, because loading works before anything is stored.
    """

    def save(self, data: None) -> None:
        """Raise a ``DatasetError``."""
        raise DatasetError(f"{type(self).__name__} is load-only; pass what it loads to a node that writes")

    def _exists(self) -> bool:
        return True


class FolderDataset(LoadOnlyDataset[Path]):
    """Loads the path of a folder in which a function stores its cache; the folder need not exist."""

    def load(self) -> Path:
        """Return the path."""
        return self._filepath


class OptionalDataset(LoadOnlyDataset[Any]):
    """Loads another dataset, given as a catalog entry, or None if it does not exist yet."""

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._dataset = AbstractDataset.from_config("optional", dataset)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the data, or None."""
        return self._dataset.load() if self._dataset.exists() else None

    def _describe(self) -> dict[str, Any]:
        return dict(self._dataset._describe())
