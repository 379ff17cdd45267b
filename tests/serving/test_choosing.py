import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.serving import runtimes
from goodbad_pipeline.serving.runtimes import choose_backend

EXPORTS = {
    "keras": {"images_per_second": 100.0, "agrees": True, "same_answers": True},
    "onnx": {"images_per_second": 250.0, "agrees": True, "same_answers": True, "sha256": "1"},
    "litert": {"images_per_second": 400.0, "agrees": False, "same_answers": False, "sha256": "2"},
    "litert_int8": {"images_per_second": 900.0, "agrees": True, "same_answers": False, "sha256": "3"},
}


def test_auto_is_the_fastest_that_gives_the_same_answers() -> None:
    assert choose_backend("auto", EXPORTS, "goodbad", "1") == "onnx"
    slow = {**EXPORTS, "onnx": {**EXPORTS["onnx"], "images_per_second": 50.0}}
    assert choose_backend("auto", slow, "goodbad", "1") == "keras"
    assert choose_backend("auto", {}, "goodbad", "1") == "keras"


def test_what_is_named_is_used_if_it_agreed() -> None:
    assert choose_backend("litert_int8", EXPORTS, "goodbad", "1") == "litert_int8"
    assert choose_backend("keras", {}, "goodbad", "1") == "keras"
    with pytest.raises(
        InputError, match=r"predict.backend: the predictions of litert and Keras differ too much for version 1"
    ):
        choose_backend("litert", EXPORTS, "goodbad", "1")
    hint = "--pipeline=export '--params=registry.name=my pets,export.version=4'"
    with pytest.raises(InputError, match=f"version 4 of 'my pets' was not exported as onnx; run {hint}$"):
        choose_backend("onnx", {}, "my pets", "4")


def test_a_runtime_that_is_not_installed_is_passed_over_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    assert choose_backend("auto", EXPORTS, "goodbad", "1") == "keras"
    missing = r"litert_int8 needs the package ai-edge-litert, .*; pip install .*\[export\]"
    with pytest.raises(InputError, match=missing):
        choose_backend("litert_int8", EXPORTS, "goodbad", "1")
