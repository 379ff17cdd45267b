"""Checkpoints without training: after a kill, on a full disk, damaged or changed."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training import checkpoints as module
from goodbad_pipeline.training import config_hash as hashing
from goodbad_pipeline.training.checkpoints import CheckpointFolder, CheckpointStore
from goodbad_pipeline.training.config_hash import code_config, config_differences, config_hash


def save(folder: CheckpointFolder, number: int) -> Path:
    arrays = {"model/00000": np.full((50, 20), number, np.float32), "optimizer/00000": np.array(number)}
    return folder.save(number, {"number": number, "third": 1 / 3}, arrays)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_a_checkpoint_is_read_as_it_was_saved(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    assert folder.newest() is None
    path = save(folder, 7)
    found = folder.newest()
    assert found.path == path
    assert found.state == {"number": 7, "third": 1 / 3}
    np.testing.assert_array_equal(found.arrays["model/00000"], np.full((50, 20), 7, np.float32))
    assert found.arrays["model/00000"].dtype == np.float32
    assert found.arrays["optimizer/00000"].shape == ()


def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for number in range(8, 12):
        save(folder, number)
    assert names(tmp_path) == ["000000010", "000000011"]


DAMAGES = ["truncated", "emptied", "missing", "flipped"]


def damage(file: Path, how: str, place: float = 0.5) -> None:
    content = file.read_bytes()
    middle = int(len(content) * place)
    if how == "missing":
        file.unlink()
    elif how == "flipped":
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        file.write_bytes(content[:middle] if how == "truncated" else b"")


@pytest.mark.parametrize("file", ["arrays.npz", "state.json"])
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path: Path, file, how, place, caplog) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    save(folder, 1)
    damage(save(folder, 2) / file, how, place)
    assert folder.newest().state["number"] == 1
    assert "000000002 is damaged" in caplog.text
    save(folder, 2)
    assert folder.newest().state["number"] == 2


def test_a_changed_array_is_detected_in_a_valid_archive(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=1)
    path = save(folder, 1)
    np.savez(path / "arrays.npz", **{"model/00000": np.zeros(3), "optimizer/00000": np.array(1)})
    assert folder.newest() is None


@pytest.mark.parametrize("name", ["fsync", "mkdir", "replace"])
def test_a_full_disk_keeps_earlier_checkpoints(tmp_path: Path, monkeypatch, name: str) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    save(folder, 1)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os if name == "fsync" else Path, name, refuse)
    with pytest.raises(InputError, match=r"000000002: cannot be written \(No space left"):
        save(folder, 2)
    assert names(tmp_path) == ["000000001"]
    assert folder.newest().state["number"] == 1


CHILD = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from goodbad_pipeline.training import checkpoints
from test_checkpoints import CheckpointFolder, save

folder, how, number = CheckpointFolder(Path(sys.argv[1]), 2), sys.argv[2], int(sys.argv[3])
if how == "size":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
    save(folder, 2)
else:
    calls = 0
    def trace(frame, event, argument):
        global calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    save(folder, 2)
    sys.settrace(None)
    print(calls)
"""


def child(folder: Path, how: str, number: int) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", CHILD, str(folder), how, str(number)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def killed_inside(tmp_path: Path, points: int, seed: int) -> list[int]:
    """Kill a process at random lines while it saves checkpoint 2; return the newest valid checkpoint each time."""
    total = int(child(tmp_path / "counted", "kill", -1).stdout)
    newest = []
    for point in np.random.default_rng(seed).integers(1, total, points).tolist():
        folder = CheckpointFolder(tmp_path / str(point), keep=2)
        save(folder, 1)
        assert child(folder.path, "kill", point).returncode == -signal.SIGKILL
        newest.append(folder.newest().state["number"])
        save(folder, 3)
        assert names(folder.path)[-1] == "000000003"
        assert not [name for name in names(folder.path) if name.startswith(".")]
    return newest


def test_a_kill_during_a_save_leaves_a_valid_checkpoint(tmp_path: Path) -> None:
    assert set(killed_inside(tmp_path, 3, seed=0)) <= {1, 2}


@pytest.mark.slow
def test_a_kill_at_twenty_lines_of_a_save(tmp_path: Path) -> None:
    assert set(killed_inside(tmp_path, 20, seed=1)) == {1, 2}


@pytest.mark.parametrize("limit", [0, 1000, 4000])
def test_a_file_size_limit_is_reported_with_the_file(tmp_path: Path, limit: int) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    save(folder, 1)
    done = child(tmp_path, "size", limit)
    assert "InputError" in done.stderr
    assert "000000002: cannot be written" in done.stderr
    assert names(tmp_path) == ["000000001"]
    assert folder.newest().state["number"] == 1


def test_the_store_returns_the_training_interrupted_last(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    assert store.last_state() is None
    for place, number in zip("abcdef", itertools.count(1), strict=False):
        folder = store.folder(place * 64, keep=1)
        save(folder, number)
        os.utime(folder.path, (number, number))
    assert store.last_state()["number"] == 6
    assert [state["number"] for state in store.states()] == [6, 5, 4, 3, 2, 1]
    store.forget("f" * 64)
    assert store.last_state()["number"] == 5
    store.forget()
    assert names(tmp_path) == [place * 16 for place in "cde"]


def test_a_training_with_a_new_owner_is_valid_and_the_last_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for place, number in (("a", 1), ("b", 2)):
        folder = store.folder(place * 64, keep=1)
        folder.save(number, {"number": number, "owner": "first"}, {"x": np.arange(number)})
        os.utime(folder.path, (number, number))
    folder = store.folder("a" * 64, keep=1)
    folder.hand_over(folder.newest(), "second")
    assert store.last_state() == folder.newest().state == {"number": 1, "owner": "second"}


def test_the_hash_changes_with_every_value_of_the_config() -> None:
    config = {"parameters": {"training": {"seed": 0, "rate": 0.1}}, "splits": "a" * 64, **code_config()}
    other = {**config, "parameters": {"training": {"seed": 0, "rate": 0.2}}, "splits": "b" * 64}
    assert config_hash(config) == config_hash(dict(reversed(config.items())))
    assert config_hash(config) != config_hash(other)
    assert config_differences(config, other) == [
        "parameters.training.rate was 0.1, is 0.2",
        "splits was aaaaaaaa…, is bbbbbbbb…",
    ]
    assert len(config["code"]) == 64
    assert {"keras", "numpy", "pillow", "scikit-learn", "simplejpeg", "tensorflow"} <= set(config["versions"])


@pytest.mark.parametrize("source", ["params/training.py", "network_factory.py", "training/loop.py"])
def test_the_config_has_a_digest_of_the_code(tmp_path: Path, monkeypatch, source: str) -> None:
    package = Path(hashing.__file__).parents[1]
    copy = shutil.copytree(package, tmp_path / "package", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(hashing, "__file__", str(copy / "training/config_hash.py"))
    before = code_config()["code"]
    with (copy / source).open("a") as file:
        file.write("# changed\n")
    assert code_config()["code"] != before


def test_drafts_of_processes_that_were_killed_on_other_hosts_are_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    draft = tmp_path / ".new-1-elsewhere.000000001"
    draft.mkdir(parents=True)
    folder.save(1, {}, {"x": np.zeros(1)})
    assert not draft.exists()
