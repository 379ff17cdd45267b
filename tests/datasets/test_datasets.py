import hashlib
import html
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from factories import encoded, make_image
from full_disk import files_of_at_most
from kedro.io import DatasetError
from matplotlib.figure import Figure

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets import (
    EpochLogDataset,
    FigureDataset,
    JSONDataset,
    KerasModelDataset,
    MetricsDataset,
    OptionalDataset,
    PageDataset,
    ParquetDataset,
    PixelsDataset,
)
from goodbad_pipeline.images.pixels import PixelSource, Transform
from goodbad_pipeline.tracking import plain_name


def source(root: Path, count: int, budget: int | None = None) -> PixelSource:
    root.mkdir(exist_ok=True)
    data = [encoded(make_image(number, bright=True)) for number in range(count)]
    for number, content in enumerate(data):
        (root / f"{number}.png").write_bytes(content)
    ids = [hashlib.sha256(content).hexdigest() for content in data]
    return PixelSource(root, ids, [f"{n}.png" for n in range(count)], Transform(8, "pad", (0, 0, 0), 10**6), budget)


@pytest.mark.parametrize("budget", [None, 10])
def test_pixels_are_equal_whether_memory_mapped_or_decoded_at_each_read(tmp_path: Path, budget: int | None) -> None:
    dataset = PixelsDataset(filepath=str(tmp_path / "cache"))
    assert not dataset.exists()
    images = source(tmp_path / "raw", 5, budget)
    dataset.save(images)
    assert dataset.exists()
    loaded = PixelsDataset(filepath=str(tmp_path / "cache")).load()
    assert isinstance(loaded.array, np.memmap) == (budget is None)
    expected = np.concatenate(list(images.blocks()))
    np.testing.assert_array_equal(loaded.array[loaded.rows(images.image_ids)], expected)


def test_a_failed_save_of_pixels_keeps_the_old_ones(tmp_path: Path) -> None:
    dataset = PixelsDataset(filepath=str(tmp_path / "cache"))
    dataset.save(source(tmp_path / "raw", 3))
    more = source(tmp_path / "raw", 5)
    (tmp_path / "raw" / "4.png").unlink()
    with pytest.raises(DatasetError, match=r"4\.png: can no longer be read"):
        dataset.save(more)
    assert len(dataset.load().array) == 3


@pytest.mark.parametrize("size", [0, 3000])
def test_a_full_disk_names_the_model_and_keeps_the_old_one(tmp_path: Path, size: int) -> None:
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(40)])
    dataset = KerasModelDataset(filepath=str(tmp_path / "m.keras"))
    dataset.save(model)
    before = (tmp_path / "m.keras").read_bytes()
    with files_of_at_most(size), pytest.raises(DatasetError, match=r"m\.keras: cannot be written"):
        dataset.save(model)
    assert (tmp_path / "m.keras").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_an_epoch_that_the_run_has_is_not_logged_again(tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("epochs")
    with mlflow.start_run() as run:
        EpochLogDataset().load()({"epoch": 1, "loss": 0.5})
    with mlflow.start_run(run_id=run.info.run_id):
        log = EpochLogDataset().load()
        for epoch, loss in ((1, 0.5), (2, 1 / 3), (3, 0.5)):
            log({"epoch": epoch, "loss": loss})
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 1 / 3), (3, 0.5)]


def test_a_loaded_model_equals_the_saved_one(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    dataset = KerasModelDataset(filepath=str(tmp_path / "models" / "m.keras"))
    assert not dataset.exists()
    dataset.save(model)
    assert dataset.exists()
    inputs = np.ones((1, 3), "float32")
    np.testing.assert_array_equal(dataset.load()(inputs), model(inputs))
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["m.keras"]


def test_a_model_is_loaded_once_until_it_is_released_or_saved(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    dataset = KerasModelDataset(filepath=str(tmp_path / "m.keras"))
    dataset.save(model)
    first = dataset.load()
    assert first is not model
    assert dataset.load() is first
    dataset.release()
    second = dataset.load()
    assert second is not first
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    dataset.save(model)
    assert not np.any(dataset.load().get_weights()[0])


def test_a_model_that_is_not_compiled_is_not_read_again_after_it_was_saved(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    dataset = KerasModelDataset(filepath=str(tmp_path / "m.keras"))
    dataset.save(model)
    assert dataset.load() is model
    dataset.release()
    assert dataset.load() is not model


def test_checking_whether_a_model_exists_imports_no_keras() -> None:
    code = (
        "import sys; from goodbad_pipeline.datasets import KerasModelDataset as K; K(filepath='x.keras').exists();"
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def store(tmp_path: Path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("datasets")  # another test may have set its own


@pytest.mark.usefixtures("store")
def test_metrics_are_saved_and_logged_to_the_run(tmp_path: Path) -> None:
    dataset = MetricsDataset(filepath=str(tmp_path / "metrics.json"))
    dataset.save({"test_accuracy": 0.5})
    assert mlflow.search_runs(search_all_experiments=True).empty  # no run is started for it
    with mlflow.start_run() as run:
        dataset.save({"test_accuracy": 0.75})
    assert mlflow.get_run(run.info.run_id).data.metrics["test_accuracy"] == 0.75
    assert dataset.load() == {"test_accuracy": 0.75}


def test_json_files_hold_no_nan(tmp_path: Path) -> None:
    values = {"a": [float("nan"), float("inf"), np.float64("nan"), np.int64(1)], "b": {"c": 0.5}}
    JSONDataset(filepath=str(tmp_path / "values.json")).save(values)
    read = json.loads((tmp_path / "values.json").read_text(), parse_constant=pytest.fail)
    assert read == {"a": [None, None, None, 1], "b": {"c": 0.5}}
    MetricsDataset(filepath=str(tmp_path / "metrics.json")).save({"test_loss": float("nan"), "test_accuracy": 0.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"test_accuracy": 0.5}


@pytest.mark.usefixtures("store")
def test_mlflow_groups_metrics_in_sections_after_the_main_ones(tmp_path: Path) -> None:
    names = {
        "export_files": ["export_files"],
        "test_accuracy": ["test_accuracy", "main/test_accuracy"],
        "val_loss": ["val_loss", "main/val_loss"],
        "loss": ["loss", "main/loss"],
        "test_accuracy_low": ["test/accuracy_low"],
        "val_roc_auc": ["validation/roc_auc"],
        "baseline_majority_test_ece": ["test baselines/majority_test_ece"],
        "uncalibrated_test_ece": ["test uncalibrated/test_ece"],
        "calibration_log_loss_rise": ["test calibration/log_loss_rise"],
        "leak_accuracy_gain": ["split leaks/accuracy_gain"],
    }
    values = {name: float(number) for number, name in enumerate(names)}
    with mlflow.start_run() as run:
        MetricsDataset(filepath=str(tmp_path / "metrics.json")).save(values)
    logged = mlflow.get_run(run.info.run_id).data.metrics
    assert logged == {shown: values[name] for name, both in names.items() for shown in both}
    assert {plain_name(name): value for name, value in logged.items()} == values
    assert min(name for name in logged if "/" in name).startswith("main/")  # MLflow sorts sections by name


@pytest.mark.usefixtures("store")
def test_epochs_are_logged_step_by_step() -> None:
    log = EpochLogDataset().load()
    log({"epoch": 1, "loss": 3.0})
    with mlflow.start_run() as run:
        log({"epoch": 1, "loss": 2.0})
        log({"epoch": 2, "loss": 1.0})
    steps = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in steps] == [(1, 2.0), (2, 1.0)]
    with pytest.raises(DatasetError, match="EpochLogDataset is load-only"):
        EpochLogDataset().save("x")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def write_half() -> None:
        with atomic_write(target) as draft:
            draft.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_optional_dataset_is_none_until_it_exists(tmp_path: Path) -> None:
    inner = {"type": "json.JSONDataset", "filepath": str(tmp_path / "facts.json")}
    dataset = OptionalDataset(dataset=inner)
    assert dataset.exists()
    assert dataset.load() is None
    (tmp_path / "facts.json").write_text('{"a": 1}')
    assert dataset.load() == {"a": 1}
    with pytest.raises(DatasetError, match="OptionalDataset is load-only"):
        dataset.save({})
    assert "facts.json" in str(dataset)


def test_a_model_is_previewed_layer_by_layer_without_tensorflow(tmp_path: Path) -> None:
    convolution = {"name": "stem_conv", "filters": 32, "kernel_size": [3, 3], "activation": None, "seed": 1}
    layers = [
        {"class_name": "InputLayer", "config": {"name": "image"}},
        {"class_name": "Conv2D", "config": convolution},
    ]
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
    shown = KerasModelDataset(filepath=str(tmp_path / "model.keras")).preview()
    assert shown["columns"] == ["layer", "kind", "settings"]
    assert shown["data"] == [["image", "InputLayer", ""], ["stem_conv", "Conv2D", "filters 32, kernel_size [3, 3]"]]


def test_a_page_is_saved_loaded_and_previewed(tmp_path: Path) -> None:
    dataset = PageDataset(filepath=str(tmp_path / "deep" / "page.html"))
    assert not dataset.exists()
    dataset.save("<p>ü</p>")
    assert dataset.exists()
    assert dataset.load() == dataset.preview() == "<p>ü</p>"


@pytest.mark.parametrize("rows", [0, 1, 20])
def test_the_preview_of_a_table_is_its_first_rows_without_bytes(tmp_path: Path, rows: int) -> None:
    dataset = ParquetDataset(filepath=str(tmp_path / "table.parquet"))
    data = {"path": list(map(str, range(rows))), "thumbnail": [b"\x83"] * rows, "size": [7] * rows}
    large = pd.array(data["thumbnail"], dtype=pd.ArrowDtype(pa.large_binary()))
    dataset.save(pd.DataFrame(data | {"large": large}))
    found = dataset.preview(nrows=8)
    assert [name for name in found["columns"] if rows or name != "thumbnail"] == ["path", "size"]
    assert [row[0] for row in found["data"]] == list(map(str, range(min(rows, 8))))
    json.dumps(found)


def test_the_preview_of_a_page_is_its_body_on_one_line_with_scoped_style(tmp_path: Path) -> None:
    page = PageDataset(filepath=str(tmp_path / "page.html"))
    page.save(
        "<html><head><style>\n:root { --a: 1; }\nbody { color: red; }\nh1 { margin: 0; }\n</style></head>\n"
        '<body>\n<h1 data-name="a_b">one_two *three*</h1>\n<script>alert(1)</script><ul><li>x</li></ul>\n</body></html>'
    )
    assert page.preview() == (
        '<div class="page"><style>.page { & { --a: 1; } & { color: red; } h1 { margin: 0; } }</style> '
        '<h1>one\u02cdtwo \u2217three\u2217</h1> <ul><li class="item">x</li></ul> </div>'
    )


@pytest.mark.parametrize("page", ["<body>\n<td>{}</td>\n</body>", "| {} |\n"])
def test_no_text_becomes_a_link_in_a_preview(tmp_path: Path, page: str) -> None:
    """Kedro-Viz turns these into links after it has sanitized the HTML."""
    dataset = PageDataset(filepath=str(tmp_path / "page"))
    dataset.save(page.format("[x](javascript:alert(1)) [y](z&#34; onmouseover=&#34;alert(1))"))
    assert not re.search(r"\[([^\]]+)\]\(([^)]+)\)", html.unescape(dataset.preview()))


def test_a_figure_is_loaded_as_png(tmp_path: Path) -> None:
    dataset = FigureDataset(filepath=str(tmp_path / "figure.png"), save_args={"dpi": 20})
    dataset.save(Figure(figsize=(1, 1)))
    assert dataset.load().startswith(b"\x89PNG")
    assert dataset.preview()


def test_a_character_that_no_font_has_is_reported_when_a_figure_is_saved(tmp_path: Path, caplog) -> None:
    figure = Figure(figsize=(1, 1))
    figure.text(0, 0, "\U00012000")  # a cuneiform sign
    FigureDataset(filepath=str(tmp_path / "sheets")).save({"one.png": figure})
    assert "boxes instead of Cuneiform characters" in caplog.text
