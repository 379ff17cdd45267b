"""A dataset that need not be there."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError


class OptionalDataset(AbstractDataset[None, Any]):
    """Loads what another dataset holds, or None where that does not exist yet.

    Args:
        dataset: Configuration of the other dataset, as it would stand in a catalog.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._dataset = AbstractDataset.from_config("optional", dataset)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the data, or None."""
        return self._dataset.load() if self._dataset.exists() else None

    def save(self, data: None) -> None:
        """Refuse: the dataset itself is there for saving."""
        raise DatasetError("An optional dataset is read alone; save through the dataset that it looks at")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return dict(self._dataset._describe())
