"""The dataset of a Keras model."""

import json
import zipfile
from typing import Any

from kedro_datasets._typing import TablePreview

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets.load_only import PathDataset
from goodbad_pipeline.serving.archive import load_archive

SETTINGS = ("filters", "units", "kernel_size", "strides", "activation", "rate")
"""Layer settings that the preview shows."""


class KerasModelDataset(PathDataset[Any, Any]):
    """Saves and loads a ``.keras`` archive.

    Kedro's own dataset imports TensorFlow as soon as the catalog is read; this class imports Keras only to load or
    save. The model stays in memory until Kedro releases the dataset, so that all nodes of a run share its graphs.
    """

    _loaded: Any = None

    def load(self) -> Any:
        """Return the uncompiled model; raise an error if the archive contains code."""
        if self._loaded is None:
            self._loaded = load_archive(self._filepath)
        return self._loaded

    def save(self, data: Any) -> None:
        """Write the model. An uncompiled model stays in memory for the next `load`."""
        self._loaded = None
        with atomic_write(self._filepath) as draft:
            data.save(draft)
        self._loaded = None if data.compiled else data

    def preview(self, nrows: int = 400) -> TablePreview:
        """Return the layers as a table, read from the archive's configuration without importing Keras."""
        with zipfile.ZipFile(self._filepath) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"][:nrows]
        rows = [[layer["config"].get("name"), layer["class_name"], _settings(layer["config"])] for layer in layers]
        return TablePreview({"index": list(range(len(rows))), "columns": ["layer", "kind", "settings"], "data": rows})

    def _release(self) -> None:
        self._loaded = None


def _settings(config: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {config[name]}" for name in SETTINGS if isinstance(config.get(name), int | float | str | list)
    )
