"""A page of HTML, with a preview in Kedro-Viz."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import HTMLPreview

from goodbad_pipeline.datasets.atomic import replacing


class PageDataset(AbstractDataset[str, str]):
    """Saves and loads a text, HTML or Markdown, in UTF-8.

    Args:
        filepath: The file.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> str:
        """Return the text."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write the text."""
        with replacing(self._filepath) as draft:
            draft.write_text(data, encoding="utf-8")

    def preview(self) -> HTMLPreview:
        """Return the page as Kedro-Viz shows it."""
        return HTMLPreview(self.load())

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
