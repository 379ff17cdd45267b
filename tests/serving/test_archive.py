"""Hostile archives are refused before Keras sees them."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from serving_kit import small_model

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.serving.archive import ALLOWED, check_archive, file_digest, load_archive


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("archive") / "model.keras"
    small_model().save(file)
    return file


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(file: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file


def with_config(whole: Path, file: Path, change: Callable[[dict], None]) -> Path:
    content = members(whole)
    config = json.loads(content["config.json"])
    change(config)
    return write(file, content | {"config.json": json.dumps(config).encode()})


def test_what_was_saved_loads_and_answers_the_same(whole: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3)).astype(np.uint8)
    loaded = load_archive(whole, file_digest(whole))
    np.testing.assert_array_equal(loaded.predict_on_batch(pixels), small_model().predict_on_batch(pixels))


@pytest.mark.parametrize("family", ["efficientnet", "efficientnet_lite"])
def test_every_layer_of_our_networks_is_on_the_list(family: str, tmp_path: Path) -> None:
    from goodbad_pipeline.networks import build_efficientnet

    model = build_efficientnet(phi=-6, family=family, classes=2, resolution=32)
    assert {type(layer).__name__ for layer in model.layers} <= ALLOWED["keras.layers"]
    model.save(tmp_path / "model.keras")
    check_archive(tmp_path / "model.keras")


def test_another_digest_is_refused(whole: Path) -> None:
    with pytest.raises(InputError, match=r"was changed: SHA-256 is [0-9a-f]{64}, expected 00ff"):
        check_archive(whole, "00ff")


def test_a_lambda_layer_is_refused_and_does_not_run(tmp_path: Path) -> None:
    import keras

    evil = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    evil.save(tmp_path / "evil.keras")
    with pytest.raises(InputError, match="Lambda is not an allowed class"):
        load_archive(tmp_path / "evil.keras")


def _as_activation(config: dict, described: dict) -> None:
    config["config"]["layers"][2]["config"]["activation"] = {"deep": [described]}


def _as_settings_of_a_network_within(config: dict, described: dict) -> None:
    """Keras compiles it, ``compile=False`` or not."""
    inner = {**config, "compile_config": {"loss": described, "optimizer": "adam"}}
    config["config"] = {"name": "outer", "layers": [inner]}


@pytest.mark.parametrize("hide", [_as_activation, _as_settings_of_a_network_within])
@pytest.mark.parametrize(
    "described",
    [
        {"module": "builtins", "class_name": "eval", "config": {}},
        {"module": "keras.src.utils", "class_name": "get_file", "config": {}},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "os>system", "config": {}},
        {"module": None, "class_name": "__lambda__", "config": {"value": "4wEAAA=="}},
        {"class_name": "function", "config": "system", "module": "os"},
        {"class_name": ["Dense"], "module": "keras.layers"},
    ],
)
def test_an_object_off_the_list_is_refused_wherever_it_hides(
    whole: Path, tmp_path: Path, described: dict, hide: Callable
) -> None:
    with pytest.raises(InputError, match="unsafe model archive"):
        check_archive(with_config(whole, tmp_path / "hidden.keras", lambda config: hide(config, described)))


def test_settings_of_training_are_no_reason_to_refuse_a_network(tmp_path: Path) -> None:
    model = small_model()
    model.compile("adam", "categorical_crossentropy")
    model.save(tmp_path / "compiled.keras")
    check_archive(tmp_path / "compiled.keras")


@pytest.mark.parametrize("name", ["../../outside.txt", "/etc/cron.d/evil", "assets/model/payload.bin", "extra.pkl"])
def test_a_member_too_many_is_refused_and_nothing_is_written(whole: Path, tmp_path: Path, name: str) -> None:
    evil = write(tmp_path / "evil.keras", members(whole) | {name: b"x"})
    with pytest.raises(InputError, match=r"it must contain exactly config.json, metadata.json, model.weights.h5"):
        load_archive(evil)
    assert [file.name for file in tmp_path.parent.rglob("outside.txt")] == []


def test_a_compressed_member_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is compressed"):
        check_archive(write(tmp_path / "bomb.keras", members(whole), zipfile.ZIP_DEFLATED))


class _Payload:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit('a pickle ran')",))


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.keras").write_bytes(pickle.dumps(_Payload()))
    with pytest.raises(InputError, match="not a Keras model archive"):
        load_archive(tmp_path / "evil.keras")


def test_a_missing_archive_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_archive(tmp_path / "none.keras")


def _link(file: h5py.File) -> None:
    file["layers/conv2d/vars/0x"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(file: h5py.File) -> None:
    file["layers/conv2d/vars/0x"] = h5py.SoftLink("/layers")


def _external(file: h5py.File) -> None:
    file.create_dataset("layers/x", (4,), "uint8", external=[("/etc/passwd", 0, 4)])


def _objects(file: h5py.File) -> None:
    file.create_dataset("layers/x", data=["text"])


@pytest.mark.parametrize("change", [_link, _soft_link, _external, _objects])
def test_weights_that_lead_elsewhere_are_refused(whole: Path, tmp_path: Path, change: Callable) -> None:
    content = members(whole)
    stream = io.BytesIO(content["model.weights.h5"])
    with h5py.File(stream, "r+") as file:
        change(file)
    evil = write(tmp_path / "evil.keras", content | {"model.weights.h5": stream.getvalue()})
    with pytest.raises(InputError, match=r"is a link|not a numeric array"):
        check_archive(evil)
