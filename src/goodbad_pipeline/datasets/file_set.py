"""A folder of files that are made together."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline.atomic_files import replacing, restored


class FilesDataset(AbstractDataset[dict[str, bytes], Path]):
    """Saves files by name, all of them or none; loads the path of their folder.

    Args:
        filepath: The folder; what is in it goes when it is saved.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder.

        Raises:
            DatasetError: There is none.
        """
        if not self._exists():
            raise DatasetError(f"{self._folder} is not there")
        return self._folder

    def save(self, data: dict[str, bytes]) -> None:
        """Write the files."""
        with replacing(self._folder) as draft:
            draft.mkdir()
            for name, content in data.items():
                (draft / name).write_bytes(content)

    def _exists(self) -> bool:
        return restored(self._folder).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
