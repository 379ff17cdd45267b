"""Exported files that are missing, changed or broken: the error names the export, not the version."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from serving_kit import CLASSES

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.registry import models as registry
from goodbad_pipeline.registry.exports import record_exports
from goodbad_pipeline.serving import runtimes
from goodbad_pipeline.serving.classifier import CONFIG_FILE, Classifier, ClassifierConfig

TRANSFORM = Transform(24, "pad", (255, 255, 255), 120 * 120)
ADVICE = "run --pipeline=export again, or set predict.backend=keras"
MEASURED = {
    "keras": {"images_per_second": 100.0, "agrees": True, "same_answers": True},
    "onnx": {"images_per_second": 250.0, "agrees": True, "same_answers": True},
}


def load(file: Path) -> str:
    """Load a network in place of a runtime; some runtimes raise errors without a message."""
    if (content := file.read_bytes()) != b"whole":
        raise ValueError("" if content == b"silent" else "no graph")
    return "a network"


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of a run with a registered version that has no archive."""
    folder = tmp_path_factory.mktemp("exports")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment("exports", str(folder / "mlartifacts")))
    (folder / "classifier").mkdir()
    ClassifierConfig(TRANSFORM, Calibration(CLASSES), "0" * 64).write(folder / "classifier" / CONFIG_FILE)
    client.log_artifacts(run.info.run_id, str(folder / "classifier"), "model/artifacts/classifier")
    client.create_registered_model("goodbad")
    client.create_model_version("goodbad", f"{run.info.artifact_uri}/model", run.info.run_id)
    return folder


@pytest.fixture
def export(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    """A function that stores content as the version's ONNX file and returns its folder."""
    monkeypatch.setitem(runtimes.RUNTIMES, "onnx", runtimes.Runtime("model.onnx", "json", load))
    monkeypatch.setattr(registry, "load_classifier", lambda *_: Classifier("Keras", TRANSFORM, Calibration(CLASSES)))
    mlflow.set_tracking_uri(f"sqlite:///{registered / 'mlflow.db'}")
    exports = registered / "mlartifacts"

    def record(content: bytes) -> Path:
        (tmp_path / "model.onnx").write_bytes(content)
        for earlier in exports.glob("*/artifacts/exports"):
            shutil.rmtree(earlier)
        record_exports("goodbad", "1", MEASURED, tmp_path)
        (folder,) = exports.glob("*/artifacts/exports/*")
        return folder

    return record


def test_complete_exports_are_used(export: Callable[[bytes], Path]) -> None:
    export(b"whole")
    for backend in ("auto", "onnx"):
        found = registry.find_model("goodbad", 1, backend)
        assert (found.backend, found.model) == ("onnx", "a network")


@pytest.mark.parametrize("gone", ["", "exports.json", "model.onnx"])
def test_auto_falls_back_to_keras_if_exported_files_are_missing(
    export: Callable[[bytes], Path], gone: str, caplog
) -> None:
    away = export(b"whole") / gone
    shutil.rmtree(away) if away.is_dir() else away.unlink()
    with caplog.at_level(logging.WARNING):
        found = registry.find_model("goodbad", 1, "auto")
    assert (found.backend, found.model) == ("keras", "Keras")
    assert ADVICE in caplog.text
    with pytest.raises(InputError, match=rf"{gone or 'exports.json'}: cannot be read .*{ADVICE}"):
        registry.find_model("goodbad", 1, "onnx")


@pytest.mark.parametrize("backend", ["auto", "onnx"])
@pytest.mark.parametrize(
    ("content", "changed", "message"),
    [
        (b"whole", "model.onnx", "model.onnx: the exported file was changed: SHA-256 is"),
        (b"whole", "exports.json", "exports.json: this list of exports was changed"),
        (b"broken", None, r"model.onnx: json cannot load this file \(no graph\)"),
        (b"silent", None, r"model.onnx: json cannot load this file \(ValueError\)"),
    ],
)
def test_a_changed_or_broken_export_is_an_error_that_names_the_export_only(
    export: Callable[[bytes], Path], backend: str, content: bytes, changed: str | None, message: str
) -> None:
    folder = export(content)
    if changed:
        (folder / changed).write_bytes(b"{}")
    with pytest.raises(InputError, match=rf"{message}.*; {ADVICE}") as raised:
        registry.find_model("goodbad", 1, backend)
    assert "registry" not in str(raised.value)


def test_a_missing_configuration_is_an_error_of_the_version(export: Callable[[bytes], Path], monkeypatch) -> None:
    export(b"whole")
    monkeypatch.setattr(registry, "CONFIG_FILE", "nowhere.json")
    with pytest.raises(InputError, match=r"registry: version 1 of 'goodbad' cannot be loaded .*restore its files"):
        registry.find_model("goodbad", 1, "auto")
