import os

import keras
import pytest
import yaml
from factories import PROJECT
from tiny_training import tiny_recipe

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training import devices, environment, train
from goodbad_pipeline.training.distributed import DataParallel, SingleProcess

pytestmark = pytest.mark.usefixtures("set_policy")


@pytest.mark.parametrize(
    ("gpus", "precision", "xla", "expected"),
    [
        (0, "auto", "auto", ("float32", False)),
        (1, "auto", "auto", ("mixed_float16", True)),
        (1, "float32", "off", ("float32", False)),
        (0, "mixed_bfloat16", "on", ("mixed_bfloat16", True)),
    ],
)
def test_precision_and_compilation_follow_the_machine(monkeypatch, gpus, precision, xla, expected) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: gpus)
    device = devices.prepare_device(precision, xla, seed=0)
    assert (device.precision, device.jit_compile) == expected
    assert keras.config.dtype_policy().name == expected[0]


@pytest.mark.parametrize(
    ("precision", "xla", "batch_size", "expected"),
    [
        ("auto", "auto", 32, "2 GPU(s), mixed_float16, XLA off"),
        ("auto", "on", 32, "1 GPU(s), mixed_float16, XLA on"),
        ("float32", "auto", None, "1 GPU(s), float32, XLA on"),
        ("float32", "auto", 33, "1 GPU(s), float32, XLA on"),
    ],
)
def test_two_gpus_share_batches(monkeypatch, precision, xla, batch_size, expected) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: 2)
    device = devices.prepare_device(precision, xla, seed=0, batch_size=batch_size)
    assert str(device) == expected


@pytest.mark.parametrize(
    ("gpus", "xla", "batch_size", "idle"),
    [(4, "on", 32, 3), (4, "on", 33, 2), (2, "auto", 32, 0), (1, "on", 32, 0), (0, "on", 32, 0), (2, "on", None, 0)],
)
def test_idle_gpus_are_logged(monkeypatch, caplog, gpus, xla, batch_size, idle) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: gpus)
    devices.prepare_device("float32", xla, seed=0, batch_size=batch_size)
    assert (f"training.xla=on uses only one GPU and leaves {idle} idle" in caplog.text) == bool(idle)
    assert bool(caplog.records) == bool(idle)


@pytest.mark.parametrize(
    ("gpus", "used"), [(1, "1 GPU(s), mixed_float16, XLA on"), (2, "2 GPU(s), mixed_float16, XLA off")]
)
def test_the_gpu_settings_use_every_gpu(monkeypatch, caplog, gpus: int, used: str) -> None:
    settings = yaml.safe_load((PROJECT / "conf/gpu/parameters_train.yml").read_text())["training"]
    monkeypatch.setattr(devices, "count_gpus", lambda: gpus)
    chosen = {name: settings[name] for name in ("precision", "xla", "batch_size")}
    assert str(devices.prepare_device(**chosen, seed=0)) == used
    assert not caplog.records


@pytest.mark.parametrize("xla", ["on", "off"])
def test_determinism_does_not_disable_xla(monkeypatch, xla) -> None:
    """Under TensorFlow's own determinism Keras ignores ``jit_compile``."""
    tf = pytest.importorskip("tensorflow")
    own: list[bool] = []
    monkeypatch.setattr(devices, "count_gpus", lambda: 1)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["GPU"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda *_: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: own.append(True))
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_max_hlo_modules=1")
    for _ in range(2):
        device = devices.prepare_device("float32", xla, seed=0)
    deterministic = "--xla_dump_max_hlo_modules=1 --xla_gpu_deterministic_ops=true"
    assert (own, os.environ["XLA_FLAGS"] == deterministic) == (([], True) if xla == "on" else ([True, True], False))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", jit_compile=device.jit_compile)
    assert model.jit_compile is (xla == "on")


@pytest.mark.parametrize(
    ("gpus", "strategy", "expected"),
    [(0, SingleProcess(), False), (1, SingleProcess(), True), (2, DataParallel(None), False)],
)
def test_one_gpu_augments_its_batches(monkeypatch, gpus, strategy, expected) -> None:
    monkeypatch.setattr(train, "count_gpus", lambda: gpus)
    assert train._augments_on_device(tiny_recipe(), strategy) is expected


def test_processes_join_before_gpus_are_listed(monkeypatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(devices, "join_processes", lambda: order.append("met"))
    monkeypatch.setattr(devices, "count_gpus", lambda: order.append("looked") or 1)
    devices.require_gpu(distributed=True)
    assert order == ["met", "looked"]


def test_a_missing_gpu_raises_an_error(monkeypatch) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: 0)
    advice = r"or set training\.require_gpu=false \(--env=gpu sets true\)$"
    with pytest.raises(InputError, match=rf"^training\.require_gpu: a GPU is required.*{advice}"):
        devices.require_gpu()
    monkeypatch.setattr(devices, "count_gpus", lambda: 1)
    devices.require_gpu()


@pytest.mark.parametrize("name", ["tensorflow", "jax", ""])
def test_installed_backends_are_accepted(monkeypatch, name) -> None:
    monkeypatch.setenv("KERAS_BACKEND", name)
    environment.require_backend()


def test_other_or_missing_backends_raise_an_error(monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(InputError, match="KERAS_BACKEND: must be tensorflow or jax, got 'torch'"):
        environment.require_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(environment, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"jax is not installed; pip install .*\[jax\]"):
        environment.require_backend()


def test_a_device_is_described() -> None:
    assert str(devices.Device(0, "float32", False)) == "CPU, float32, XLA off"
    assert str(devices.Device(2, "mixed_float16", True)) == "2 GPU(s), mixed_float16, XLA on"
