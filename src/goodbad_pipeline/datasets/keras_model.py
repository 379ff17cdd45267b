"""A Keras model on disk, without TensorFlow until one is loaded or saved."""

import json
import zipfile
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from goodbad_pipeline.atomic_files import replacing
from goodbad_pipeline.serving.archive import load_archive

SHOWN = ("filters", "units", "kernel_size", "strides", "activation", "rate")
"""Settings of a layer that its preview tells."""


class KerasModelDataset(AbstractDataset[Any, Any]):
    """Saves and loads a ``.keras`` archive.

    Kedro's own TensorFlow dataset imports TensorFlow as soon as the catalog is looked through, ingestion included;
    this one imports Keras inside load and save. A save that fails leaves the file that was there. A loaded model stays
    until Kedro releases it: the nodes of a run share one, and with it what TensorFlow compiled for it.

    Args:
        filepath: The archive; its name ends in ``.keras``.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._loaded: Any = None
        self.metadata = metadata

    def load(self) -> Any:
        """Return the model, not compiled; only archives that hold no code are read."""
        if self._loaded is None:
            self._loaded = load_archive(self._filepath)
        return self._loaded

    def save(self, data: Any) -> None:
        """Write the model. What is loaded next is what the file holds, not ``data``."""
        self._loaded = None
        with replacing(self._filepath) as draft:
            data.save(draft)

    def preview(self, nrows: int = 400) -> TablePreview:
        """Return the layers as a table, read from the archive's own description: no TensorFlow, nothing is run."""
        with zipfile.ZipFile(self._filepath) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"][:nrows]
        rows = [[layer["config"].get("name"), layer["class_name"], _settings(layer["config"])] for layer in layers]
        columns = ["layer", "kind", "settings"]
        return TablePreview({"index": list(range(len(rows))), "columns": columns, "data": rows})

    def _release(self) -> None:
        self._loaded = None

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _settings(config: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {config[name]}" for name in SHOWN if isinstance(config.get(name), int | float | str | list)
    )
