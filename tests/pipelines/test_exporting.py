"""A registered version is exported, compared with itself, stored next to itself and predicts through its files."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from factories import encoded, make_image, parameters
from serving_kit import SIDE

from goodbad_pipeline.datasets import FilesDataset
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.exposure import NOTHING, split_exposure
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.params import Group, validate_parameters
from goodbad_pipeline.pipelines.exporting import nodes
from goodbad_pipeline.pipelines.prediction.nodes import predict_files
from goodbad_pipeline.registry.exports import EXPORTS_TAG
from goodbad_pipeline.registry.models import find_model, log_model

CLASSES = ["bad", "good"]


def network():
    """Has all that is folded and quantised; tells light images from dark ones."""
    import keras

    layers = keras.layers
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Conv2D(4, 3, use_bias=False, kernel_initializer=keras.initializers.Constant(1 / 27))(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(6.0)(x))
    model = keras.Model(pixels, layers.Dense(2, activation="softmax", name="predictions")(x))
    model.get_layer("bn").set_weights([np.full(4, 1.5), np.ones(4), np.full(4, 0.1), np.full(4, 0.3)])
    model.get_layer("predictions").set_weights([np.array([[-2.0, 2.0]] * 4), np.array([8.0, -8.0])])
    return model


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("exports")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("exports", artifact_location=str(folder / "mlartifacts"))
    mlflow.set_experiment("exports")
    calibration = Calibration(CLASSES, temperature=1.2, threshold=0.48)
    transform = Transform(SIDE, "pad", (255, 255, 255), 10_000)
    with mlflow.start_run():
        log_model(network(), "goodbad", calibration, transform, np.zeros((SIDE, SIDE, 3), np.uint8), NOTHING)
    return uri


@pytest.fixture(scope="module")
def splits(tmp_path_factory) -> pd.DataFrame:
    import hashlib

    root, rows = tmp_path_factory.mktemp("images"), []
    for number in range(60):
        data = encoded(make_image(number, bright=bool(number % 2)))
        (root / f"{number}.png").write_bytes(data)
        split = "train" if number < 20 else "test"
        rows.append((f"{number}.png", hashlib.sha256(data).hexdigest(), CLASSES[number % 2], split, str(number)))
    table = pd.DataFrame(rows, columns=["path", "image_id", "label", "split", "group"])
    table.attrs["root"] = str(root)
    return table


def groups(splits: pd.DataFrame, **changes: object) -> dict[str, Group]:
    values = {"images__root": splits.attrs["root"], "export__version": 1, "export__rounds": 1, **changes}
    return validate_parameters(parameters(**values))


@pytest.fixture(scope="module")
def exported(store: str, splits: pd.DataFrame, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    mlflow.set_tracking_uri(store)
    given = groups(splits)
    model = nodes.load_exported_version(splits, given["export"], given["registry"])
    dataset = FilesDataset(filepath=str(tmp_path_factory.mktemp("files") / "exported"))
    dataset.save(nodes.export_model(model, splits, given["export"], given["images"]))
    table, numbers = nodes.measure_exports(model, dataset.load(), splits, given["export"], given["images"])
    assert numbers["export_exposed_images"] == 0
    assert numbers["export_onnx_accuracy"] == table.set_index("backend")["accuracy"]["onnx"]
    nodes.attach_exports(model, dataset.load(), table)
    return dataset.load(), table


@pytest.fixture
def tracking(store: str) -> None:
    mlflow.set_tracking_uri(store)


@pytest.mark.slow
def test_every_file_agrees_and_holds_no_normalisation(exported: tuple[Path, pd.DataFrame]) -> None:
    from goodbad_pipeline.exporting.converting import count_operations

    files, table = exported
    assert sorted(file.name for file in files.iterdir()) == ["model.onnx", "model.tflite", "model_int8.tflite"]
    operations = count_operations((files / "model.onnx").read_bytes())
    assert operations["Conv"] == 1
    assert operations["BatchNormalization"] == 0
    rows = table.set_index("backend")
    assert rows["agrees"].all()
    assert (rows["images_per_second"] > 0).all()
    for name in ("onnx", "litert"):
        assert rows["max_difference"][name] <= 1e-5
        assert rows["same_labels"][name] == 1
    assert 0 < rows["max_difference"]["litert_int8"] < 0.1  # 0 would be no whole numbers
    assert rows["accuracy"]["litert_int8"] >= rows["accuracy"]["keras"] - 0.01


def ask(splits: pd.DataFrame, backend: str) -> pd.DataFrame:
    given = groups(splits, predict__source=splits.attrs["root"], predict__version=1, predict__backend=backend)
    return pd.concat(predict_files(given["predict"], given["images"], given["registry"])).set_index("path")


@pytest.mark.slow
def test_predictions_are_the_same_on_every_backend(
    tracking: None, exported: tuple[Path, pd.DataFrame], splits: pd.DataFrame
) -> None:
    keras = ask(splits, "keras")
    for backend, tolerance in (("onnx", 1e-5), ("litert", 1e-5), ("auto", 1e-5), ("litert_int8", 0.1)):
        found = ask(splits, backend)
        assert abs(found["probability_good"] - keras["probability_good"]).max() <= tolerance
        assert (found["label"] == keras["label"]).mean() >= 0.99


@pytest.mark.slow
def test_files_are_stored_next_to_the_model_by_digest(
    tracking: None, exported: tuple[Path, pd.DataFrame], splits: pd.DataFrame
) -> None:
    client = mlflow.MlflowClient()
    found = client.get_model_version("goodbad", "1")
    (folder,) = client.list_artifacts(found.run_id, "exports")
    assert folder.path == f"exports/{found.tags[EXPORTS_TAG][:12]}"
    names = {Path(file.path).name for file in client.list_artifacts(found.run_id, folder.path)}
    assert names == {"model.onnx", "model.tflite", "model_int8.tflite", "exports.json"}
    stored = Path(client.get_run(found.run_id).info.artifact_uri.removeprefix("file://"), folder.path)
    listing = json.loads((stored / "exports.json").read_text())
    assert listing["onnx"]["images_per_second"] > 0
    onnx = (stored / "model.onnx").read_bytes()
    try:
        (stored / "model.onnx").write_bytes(onnx + b"\0")
        with pytest.raises(InputError, match=r"model.onnx: the exported file was changed"):
            find_model("goodbad", 1, "onnx")
        (stored / "model.onnx").write_bytes(onnx)
        (stored / "exports.json").write_text("{}")
        with pytest.raises(InputError, match=r"exports.json: this list of exports was changed"):
            find_model("goodbad", 1, "auto")
    finally:
        (stored / "model.onnx").write_bytes(onnx)
        (stored / "exports.json").write_text(json.dumps(listing, indent=2, sort_keys=True))
    assert find_model("goodbad", 1, "onnx").backend == "onnx"


@pytest.mark.parametrize(
    ("seen", "count", "warning"),
    [
        (20, 0.0, ""),
        (30, 10.0, "Version 3 was trained or selected on 10 of 40 test images"),
        (None, None, "The training images of version 3 are not all known"),
    ],
)
def test_test_images_of_the_versions_training_are_counted(monkeypatch, caplog, splits, seen, count, warning) -> None:
    trained_on = split_exposure(splits.assign(split=np.where(splits.index < (seen or 0), "train", "test")))
    monkeypatch.setattr(nodes, "read_exposure", lambda *_: replace(trained_on, complete=seen is not None))
    model, test = SimpleNamespace(name="goodbad", version="3"), splits[splits["split"] == "test"]
    names = ("export_exposed_images", "export_seen_pictures") if count is not None else ()
    assert nodes._count_exposed(model, test) == dict.fromkeys(names, count)
    assert warning in caplog.text
    assert bool(caplog.text) is bool(warning)


@pytest.mark.usefixtures("tracking")
def test_other_classes_are_an_error_before_the_network_is_loaded(monkeypatch, splits: pd.DataFrame) -> None:
    monkeypatch.setattr(nodes, "converting", None)
    monkeypatch.setattr(nodes, "find_model", None)
    given = groups(splits)
    other = splits.assign(label=splits["label"].map({CLASSES[0]: "cat", CLASSES[1]: "dog"}))
    message = (
        rf"registry.name: version 1 of 'goodbad' must have the classes .* \(cat, dog\), got {', '.join(CLASSES)}\. Set"
    )
    with pytest.raises(InputError, match=message):
        nodes.load_exported_version(other, given["export"], given["registry"])
