import keras
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training import devices


@pytest.fixture(autouse=True)
def _keep_policy():
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


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
    spread: list[int] = []
    monkeypatch.setattr(devices, "count_gpus", lambda: 2)
    monkeypatch.setattr(devices, "spread_over_gpus", spread.append)
    device = devices.prepare_device(precision, xla, seed=0, batch_size=batch_size)
    assert str(device) == expected
    assert spread == ([2] if device.gpus == 2 else [])


def test_a_missing_gpu_is_one_line_that_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: 0)
    with pytest.raises(InputError, match=r"training\.require_gpu: a GPU is required"):
        devices.require_gpu()
    monkeypatch.setattr(devices, "count_gpus", lambda: 1)
    devices.require_gpu()


@pytest.mark.parametrize("name", ["tensorflow", "jax", ""])
def test_the_backends_that_are_installed_are_let_pass(monkeypatch, name) -> None:
    monkeypatch.setenv("KERAS_BACKEND", name)
    devices.require_backend()


def test_another_backend_or_one_that_is_not_installed_is_one_line(monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(InputError, match="KERAS_BACKEND: must be tensorflow or jax, got 'torch'"):
        devices.require_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"KERAS_BACKEND: jax is not installed; pip install --editable \"\.\[jax\]\""):
        devices.require_backend()


def test_a_device_reads_well() -> None:
    assert str(devices.Device(0, "float32", False)) == "CPU, float32, XLA off"
    assert str(devices.Device(2, "mixed_float16", True)) == "2 GPU(s), mixed_float16, XLA on"
