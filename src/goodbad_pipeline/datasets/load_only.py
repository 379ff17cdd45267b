"""Base classes of datasets with a single path, and of datasets that nodes load but never save."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset, DatasetError

S = TypeVar("S")
T = TypeVar("T")


class PathDataset(AbstractDataset[S, T]):
    """A file or folder without versions. Only plugins such as Kedro-Viz read ``metadata``."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class LoadOnlyDataset(PathDataset[None, T]):
    """A dataset that nodes can load but not save: a folder, or a function or store that writes its own files.

    If these files are removed, they are computed again when needed. ``exists`` always returns True, because the dataset
    can be loaded before anything is stored.
    """

    def save(self, data: None) -> None:
        """Raise a ``DatasetError``, because nodes cannot save this dataset."""
        raise DatasetError(f"{type(self).__name__} is load-only; it cannot be the output of a node, only an input")

    def _exists(self) -> bool:
        return True


class FolderDataset(LoadOnlyDataset[Path]):
    """Loads the path of a cache folder, which need not exist."""

    def load(self) -> Path:
        """Return the path."""
        return self._filepath


class OptionalDataset(LoadOnlyDataset[Any]):
    """Loads what the catalog entry ``dataset`` loads, or None if the data of that entry do not exist yet."""

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._dataset = AbstractDataset.from_config("optional", dataset)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the data, or None if they do not exist."""
        return self._dataset.load() if self._dataset.exists() else None

    def _describe(self) -> dict[str, Any]:
        return dict(self._dataset._describe())
