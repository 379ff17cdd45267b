"""Two and four processes on this machine train as one does."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_training import checkpointing, tiny_network

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training import distributed, saving

SCRIPT = Path(__file__).with_name("distributing.py")


def train(folder: Path, count: int) -> list[tuple[dict[str, np.ndarray], dict]]:
    """Return the weights and the results of each process."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    base = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    place = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count)}
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, folder],
            env={**base, **place, "KERAS_DISTRIBUTION_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(count)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output
    found = []
    for index in range(count):
        with np.load(folder / f"weights_{index}.npz") as weights:
            found.append((dict(weights), json.loads((folder / f"facts_{index}.json").read_text())))
    return found


@pytest.mark.slow
def test_two_and_four_processes_train_as_one_does(tmp_path: Path) -> None:
    ((alone, facts),) = train(tmp_path / "one", 1)
    assert facts["scratch"]["rows"] == list(range(48))
    for count in (2, 4):
        together = train(tmp_path / str(count), count)
        for weights, results in together:
            for name, value in alone.items():
                np.testing.assert_allclose(weights[name], value, rtol=0, atol=1e-5)
            for kind in ("scratch", "pretrained", "logistic"):
                np.testing.assert_allclose(results[kind]["history"], facts[kind]["history"], atol=1e-4)
        for kind in ("scratch", "pretrained", "logistic"):
            read = [set(results[kind]["rows"]) for _, results in together]
            assert set.union(*read) == set(range(48))
            assert sum(map(len, read)) == 48  # no image is read by two processes
            assert max(map(len, read)) <= 48 / count + 3
        written = {path.name for path in (tmp_path / str(count)).glob("*_checkpoints_*")}
        assert written == {f"{kind}_checkpoints_0" for kind in ("scratch", "pretrained", "logistic")}


def test_several_processes_require_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": "127.0.0.1:1",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "KERAS_DISTRIBUTION_PROCESS_ID": "0",
    }
    with pytest.raises(InputError, match=r"2 processes can train together only with KERAS_BACKEND=jax, got tensorflow"):
        distributed.join_processes(place)
    assert distributed.join_processes({}) is None


def test_a_single_process_exchanges_nothing() -> None:
    alone, values = distributed.SingleProcess(), np.arange(3)
    assert alone.gather(values) is values
    assert alone.any(True)
    assert not alone.any(False)
    assert list(alone.data_shards(4)) == [0, 1, 2, 3]


class Second(distributed.SingleProcess):
    """Process 2 of 2; process 1 exchanges a given text."""

    process_count, process_index = 2, 1

    def __init__(self, text: str) -> None:
        self._digest = hashlib.sha256(text.encode()).digest()

    def gather(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.frombuffer(self._digest, np.uint8)[None], values])


def test_all_equal_compares_the_texts_of_processes() -> None:
    assert distributed.SingleProcess().all_equal("this")
    assert Second("this").all_equal("this")
    assert not Second("this").all_equal("that")


def test_processes_with_another_config_end_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must have equal parameters.*\(process 2 of 2 .* checkpoint none\)"):
        saving.Saver(checkpointing(tmp_path), tiny_network(), Second("another network")).resume()


@pytest.mark.parametrize("index", [0, 1])
def test_only_the_first_process_removes_checkpoints(tmp_path: Path, index: int) -> None:
    one = distributed.SingleProcess()
    one.process_index = index
    saver = saving.Saver(checkpointing(tmp_path, resume=False), tiny_network(), one)
    saver._folder.path.mkdir(parents=True)
    assert saver.resume() is None
    assert saver._folder.path.exists() == bool(index)


def test_each_process_reads_equally_many_consecutive_shards() -> None:
    one = distributed.SingleProcess()
    one.process_count, one.process_index = 2, 1
    assert list(one.data_shards(6)) == [3, 4, 5]
    with pytest.raises(InputError, match=r"training.data_shards: must be a multiple of the process count, 2; got 5"):
        one.data_shards(5)
