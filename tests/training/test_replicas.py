"""Two devices of one process train as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from goodbad_pipeline.training import devices

BACKENDS = {
    "tensorflow": {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
    "jax": {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_train_as_one_does_and_resume(backend: str, tmp_path: Path) -> None:
    environment = {**os.environ, **BACKENDS[backend], "PYTHONPATH": os.pathsep.join(sys.path)}
    script = [sys.executable, str(Path(__file__).with_name("mirroring.py")), str(tmp_path)]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name in ("scratch", "pretrained"):
        weights, validation = found[name]
        assert weights <= 1e-5
        assert validation <= 1e-4
        assert found[f"{name}_resumed"] == [0, 0]


@pytest.mark.parametrize(
    ("gpus", "batch_size", "used"), [(0, 32, 0), (1, 32, 1), (2, 32, 2), (2, 31, 1), (3, 32, 2), (6, 32, 4), (8, 6, 6)]
)
def test_as_many_gpus_train_as_divide_a_batch(gpus: int, batch_size: int, used: int) -> None:
    assert devices.gpus_to_share(gpus, batch_size) == used
