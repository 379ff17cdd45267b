"""Saves of all datasets are atomic: a file is either the old one or the new one."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from factories import catalog_config, encoded, make_image
from full_disk import files_of_at_most
from kedro.io import AbstractDataset, DatasetError, Version
from matplotlib.figure import Figure

from goodbad_pipeline import datasets
from goodbad_pipeline.datasets.files import AtomicSave
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import PixelSource, Transform
from goodbad_pipeline.sample.dataset import write_sample

REFUSE_TO_SAVE = {
    "CheckpointsDataset",
    "EpochLogDataset",
    "FolderDataset",
    "OptionalDataset",
    "PixelCacheDataset",
    "StudyDataset",
    "TrialsDataset",
}


def entries() -> dict[str, dict[str, Any]]:
    """Return the entries of the catalog; for one that wraps another, the other."""
    catalog = catalog_config().items()
    return {name: entry.get("dataset", entry) for name, entry in catalog if entry["type"] != "MemoryDataset"}


def test_every_entry_of_the_catalog_saves_atomically() -> None:
    """Kedro's own datasets do not; datasets/files.py and datasets/tables.py replace them."""
    kinds = {name: entry["type"].removeprefix("goodbad_pipeline.datasets.") for name, entry in entries().items()}
    assert {name: kind for name, kind in kinds.items() if kind not in datasets.__all__} == {}
    assert not {kind for kind in set(kinds.values()) - REFUSE_TO_SAVE if kind not in dict(FILES)}


def table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"number": rng.random(rows), "text": [f"{value:.9f}" for value in rng.random(rows)]})


def figure(side: float = 1) -> Figure:
    drawn = Figure(figsize=(side, side))
    drawn.figimage(np.random.default_rng(0).random((400, 400)))
    return drawn


def network() -> Any:
    import keras

    return keras.Sequential([keras.Input((30,)), keras.layers.Dense(400)])


def images(root: Path) -> PixelSource:
    data = [encoded(make_image(number, bright=True)) for number in range(9)]
    ids = [hashlib.sha256(content).hexdigest() for content in data]
    for number, content in enumerate(data):
        (root / f"{number}.png").write_bytes(content)
    return PixelSource(root, ids, [f"{n}.png" for n in range(9)], Transform(32, "pad", (0, 0, 0), 10**6), None)


FILES = [
    ("CSVDataset", "t.csv"),
    ("SafeCSVDataset", "t.csv"),
    ("ParquetDataset", "t.parquet"),
    ("TableStreamDataset", "t.parquet"),
    ("TableStreamDataset", "t.csv"),
    ("JSONDataset", "t.json"),
    ("MetricsDataset", "t.json"),
    ("ChartDataset", "chart.json"),
    ("TextDataset", "t.txt"),
    ("PageDataset", "t.html"),
    ("FigureDataset", "t.png"),
    ("FigureDataset", "folder of figures"),
    ("FilesDataset", "folder of files"),
    ("KerasModelDataset", "t.keras"),
    ("PixelsDataset", "pixels"),
]
SMALL: dict[str, Any] = {
    "chart.json": go.Figure(),
    "t.csv": table(3),
    "t.parquet": table(3),
    "t.json": {"a": 1.0},
    "t.txt": "old",
    "t.html": "old",
    "t.png": Figure(figsize=(1, 1)),
    "folder of figures": {"a.png": Figure(figsize=(1, 1)), "b.png": Figure(figsize=(1, 1))},
    "folder of files": {"a.onnx": b"old", "b.tflite": b"old"},
}
LARGE: dict[str, Any] = {
    "chart.json": go.Figure(go.Scatter(y=list(range(5000)))),
    "t.csv": table(2000),
    "t.parquet": table(2000),
    "t.json": {str(number): 1.0 for number in range(2000)},
    "t.txt": "new" * 5000,
    "t.html": "new" * 5000,
    "t.png": figure(4),
    "folder of figures": {"a.png": Figure(figsize=(1, 1)), "c.png": figure(4)},
    "folder of files": {"a.onnx": b"new" * 5000, "c.tflite": b"new"},
}


def data_for(kind: str, name: str, root: Path, which: dict[str, Any]) -> Any:
    if kind == "KerasModelDataset":
        return network()
    if kind == "PixelsDataset":
        source = images(root)
        return source if which is LARGE else PixelSource(root, source.image_ids[:1], source.paths[:1], source.transform)
    return [which[name]] if kind == "TableStreamDataset" else which[name]


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("pixels.bin", "image_ids.bin", ".lock")  # append-only
    }


@pytest.mark.parametrize("size", [0, 5000])
@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path: Path, kind: str, name: str, size: int) -> None:
    raw, stored = tmp_path / "raw", tmp_path / "stored"
    raw.mkdir()
    dataset: AbstractDataset = getattr(datasets, kind)(filepath=str(stored / name))
    dataset.save(data_for(kind, name, raw, SMALL))
    before, new = content(stored), data_for(kind, name, raw, LARGE)
    assert before
    with files_of_at_most(size), pytest.raises(DatasetError, match=rf"{name}.*: cannot be written") as failure:
        dataset.save(new)
    assert isinstance(failure.value.__cause__, InputError)
    assert content(stored) == before
    dataset.save(new)
    assert content(stored) != before or kind == "KerasModelDataset"
    assert not [*stored.glob(".new-*"), *stored.glob(".old-*")]


def test_a_folder_of_figures_has_only_those_of_the_last_save(tmp_path: Path) -> None:
    dataset = datasets.FigureDataset(filepath=str(tmp_path / "sheets"))
    dataset.save(SMALL["folder of figures"])
    dataset.save(LARGE["folder of figures"])
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["a.png", "c.png"]


@pytest.mark.no_cover
def test_a_full_disk_names_the_sample_image(tmp_path: Path) -> None:
    with files_of_at_most(100), pytest.raises(InputError, match=r"pose_0\..*: cannot be written"):
        write_sample(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_mixin_comes_before_the_dataset_whose_save_it_calls() -> None:
    """In the other order, Kedro's save would be used, without any error."""
    for kind in (
        datasets.CSVDataset,
        datasets.ParquetDataset,
        datasets.JSONDataset,
        datasets.TextDataset,
        datasets.FigureDataset,
    ):
        assert kind.__mro__[1] is AtomicSave


def test_versioned_datasets_are_saved_atomically(tmp_path: Path) -> None:
    """With versions as those of ``versioned: true`` in a catalog."""
    file = tmp_path / "table.csv"
    for number, version in enumerate(("2026-01-01", "2026-01-02"), start=1):
        datasets.CSVDataset(filepath=str(file), version=Version(None, version), save_args={"index": False}).save(
            table(number)
        )
    newest = datasets.CSVDataset(filepath=str(file), version=Version(None, None))
    assert len(newest.load()) == 2
    assert len(datasets.CSVDataset(filepath=str(file), version=Version("2026-01-01", None)).load()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["2026-01-01", "2026-01-02", *["table.csv"] * 3]
