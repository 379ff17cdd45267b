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
    """A dataset that nodes load but do not save: a cache folder, or a function that writes its own files.

    Removed files are computed again when needed. ``exists`` returns True even before any file is written.
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
    """Loads the data of the wrapped catalog entry ``dataset``, or None if no data exist yet."""

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._dataset = AbstractDataset.from_config("optional", dataset)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the data, or None if no data exist."""
        return self._dataset.load() if self._dataset.exists() else None

    def _describe(self) -> dict[str, Any]:
        return dict(self._dataset._describe())
