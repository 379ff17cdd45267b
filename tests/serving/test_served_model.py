"""The registered model is called the ways a stranger calls it."""

import ast
import json
import shutil
import sys
import time
import types
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from clusters import spark_session
from serving_kit import SIDE, small_model

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.registry.models import CONFIG_TAG, load_champion, load_version
from goodbad_pipeline.serving import bundle
from goodbad_pipeline.serving.archive import file_digest
from goodbad_pipeline.serving.classifier import ClassifierConfig

URI = "models:/goodbad@champion"
COLUMNS = ["label", "probability", "probabilities", "abstained", "reason"]


def test_it_answers_about_good_and_bad_files_alike(tracking: str, files: dict[str, bytes]) -> None:
    predictions = mlflow.pyfunc.load_model(URI).predict(pd.DataFrame({"image": list(files.values())}))
    assert list(predictions.columns) == COLUMNS
    good = predictions[predictions["reason"].isna()]
    assert len(good) == 160
    for row in good.itertuples(index=False):
        assert row.probability == row.probabilities[row.label]
    assert set(good["label"]) == {"bad", "good"}
    assert set(good["abstained"]) == {True, False}
    bad = predictions[predictions["reason"].notna()]
    assert set(bad["reason"]) == {"empty", "not_an_image", "too_many_pixels", "truncated"}
    assert bad[["label", "probability", "probabilities"]].isna().all(axis=None)


def test_it_reads_the_probabilities_as_validation_taught(tracking: str, files: dict[str, bytes]) -> None:
    found = load_champion("goodbad")
    predictions = found.classifier.classify(list(files.values())[:20])
    for row in predictions.itertuples(index=False):
        assert row.label == ("good" if row.probabilities["good"] >= 0.45 else "bad")
        assert row.abstained == (row.probability < 0.7)
        assert sum(row.probabilities.values()) == pytest.approx(1)


def test_bytes_base64_and_paths_give_the_same(tracking: str, folder: Path) -> None:
    import base64

    names = sorted(path.name for path in folder.iterdir())[::9]
    data = [(folder / name).read_bytes() for name in names]
    cells = {
        "bytes": data,
        "base64": [base64.b64encode(one).decode() for one in data],
        "path": [str(folder / name) for name in names],
    }
    model = mlflow.pyfunc.load_model(URI)
    predictions = [model.predict(pd.DataFrame({"image": one})) for one in cells.values()]
    for other in predictions[1:]:
        pd.testing.assert_frame_equal(predictions[0], other)


@pytest.mark.slow
def test_a_function_of_spark_predicts_the_same(tracking: str, files: dict[str, bytes]) -> None:
    with spark_session() as spark:
        rows = [(name, bytearray(data)) for name, data in files.items()]
        images = spark.createDataFrame(rows, "path string, content binary")
        classify = mlflow.pyfunc.spark_udf(spark, URI)
        found = images.select("path", classify("content").alias("prediction")).collect()
    there = {row.path: row.prediction.asDict() for row in found}
    expected = mlflow.pyfunc.load_model(URI).predict(pd.DataFrame({"image": list(files.values())}))
    assert len(there) == len(files)
    for name, own in zip(files, expected.to_dict("records"), strict=True):
        one = there[name]
        assert (one["label"], one["reason"]) == (own["label"] or "", own["reason"] or "")
        assert one["abstained"] == own["abstained"]
        assert own["probability"] is None or one["probability"] == pytest.approx(own["probability"], abs=1e-6)
        assert one["probabilities"] == pytest.approx(own["probabilities"] or {}, abs=1e-6)


def test_in_spark_nothing_is_missing_and_a_process_loads_once(tracking: str, monkeypatch) -> None:
    frame = pd.DataFrame({"image": [b"text"]})
    local = mlflow.artifacts.download_artifacts(URI)
    assert mlflow.pyfunc.load_model(local).predict(frame)["probabilities"].tolist() == [None]
    task = types.SimpleNamespace(TaskContext=types.SimpleNamespace(get=lambda: "a task"))
    monkeypatch.setitem(sys.modules, "pyspark", task)
    model = mlflow.pyfunc.load_model(local)
    assert model.predict(frame)[["label", "probabilities"]].values.tolist() == [["", {}]]
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("loads it again"))
    assert mlflow.pyfunc.load_model(local).predict(frame)["reason"].tolist() == ["not_an_image"]


def test_the_bundle_imports_itself_and_its_requirements_alone(tmp_path: Path) -> None:
    written = bundle.write_bundle(tmp_path)
    optional = {"pillow_heif"}  # without it, an HEIC image is rejected
    brought = {name.lower() for name in bundle.REQUIREMENTS} | {"pil", written.package.name} | optional
    for file in [*written.package.rglob("*.py"), written.script]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top, *rest = name.split(".")
                assert top in sys.stdlib_module_names or top.lower() in brought, f"{file.name} imports {name}"
                if top == written.package.name:
                    assert written.package.joinpath(*rest).with_suffix(".py").is_file(), f"{name} is not carried"


def test_a_bundle_is_named_after_its_content(tmp_path: Path, monkeypatch) -> None:
    first = bundle.write_bundle(tmp_path / "one").package.name
    assert bundle.write_bundle(tmp_path / "two").package.name == first
    monkeypatch.setattr(bundle, "MODULES", bundle.MODULES[1:])
    assert bundle.write_bundle(tmp_path / "three").package.name != first


def test_nothing_of_it_is_pickled(tracking: str) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(URI))
    names = {file.name for file in folder.rglob("*") if file.is_file()}
    assert "model.keras" in names
    assert not {name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))}
    requirements = (folder / "requirements.txt").read_text().split()
    assert {line.split("==")[0] for line in requirements} == set(bundle.REQUIREMENTS)


def test_a_changed_archive_is_refused_by_both_roads(tracking: str, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(mlflow.artifacts.download_artifacts(URI), folder)
    archive = folder / "artifacts/classifier/model.keras"
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(Exception, match="was changed"):  # an InputError of its own package
        mlflow.pyfunc.load_model(str(folder))
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda *_: str(archive.parent))
    facts = archive.with_name("facts.json")
    original = shutil.copy(facts, tmp_path)
    values = json.loads(facts.read_text())
    facts.write_text(json.dumps(values | {"digest": file_digest(archive)}))  # the forger thinks of the facts, too
    with pytest.raises(InputError, match=r"version 1 of 'goodbad' cannot be loaded .*config was changed"):
        load_version("goodbad", "1")
    mlflow.MlflowClient().delete_model_version_tag("goodbad", "1", CONFIG_TAG)  # as versions were before it
    try:
        with pytest.raises(InputError, match=r"version 1 of 'goodbad' cannot be loaded .*archive was changed"):
            load_version("goodbad", "1")
    finally:
        mlflow.MlflowClient().set_model_version_tag("goodbad", "1", CONFIG_TAG, file_digest(Path(original)))


def test_a_threshold_or_class_names_that_were_swapped_are_refused(tracking: str, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(mlflow.artifacts.download_artifacts(f"{URI}/artifacts/classifier"), folder)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda *_: str(folder))
    assert load_version("goodbad", "1").class_names == ["bad", "good"]
    facts = folder / "facts.json"
    facts.write_text(facts.read_text().replace('"good"', '"evil"'))
    with pytest.raises(InputError, match=r"version 1 of 'goodbad' cannot be loaded .*config was changed: SHA-256 is"):
        load_version("goodbad", "1")
    with pytest.raises(InputError, match="config was changed"):
        ClassifierConfig.read(facts, "00ff")


@pytest.mark.slow  # depends on the speed of the machine
def test_it_is_never_ten_times_slower_than_the_model_itself(tracking: str, files: dict[str, bytes]) -> None:
    """Of one decoded image a call, and of a batch; the images are small, so that overhead is what is measured."""
    served = mlflow.pyfunc.load_model(URI)
    frame = pd.DataFrame({"image": [data for name, data in files.items() if name.startswith("image")][:64]})
    pixels = np.zeros((64, SIDE, SIDE, 3), np.uint8)
    model = small_model()

    def seconds(call) -> float:
        call()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(lambda: served.predict(frame)) < 10 * seconds(lambda: model.predict(pixels, verbose=0))
    assert seconds(lambda: served.predict(frame[:1])) < 10 * seconds(lambda: model.predict(pixels[:1], verbose=0))
