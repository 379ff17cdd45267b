"""Real signals to real processes, at random places: every run goes on to the same bits."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

STEPS = 12  # of the tiny training: two epochs of three steps, twice
STARTER = multiprocessing.get_context("forkserver")  # it imports TensorFlow once, and computes nothing before it forks


@pytest.fixture(scope="module", autouse=True)
def _imported_once() -> None:
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", here)  # the starter reads it when the first process is asked for
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        STARTER.set_forkserver_preload(["__main__", "killing"])
        yield


def train(folder: Path, how: str = "live", number: int = 0) -> int | None:
    """Train in a process of its own; returns how it ended."""
    from killing import main

    process = STARTER.Process(target=main, args=(folder, how, number))
    process.start()
    process.join()
    return process.exitcode


def outcome(folder: Path) -> list[str]:
    return (folder / "outcome").read_text().split()


def cut_off(folder: Path, how: str, number: int) -> None:
    assert train(folder, how, number) == (143 if how == "term" else -signal.SIGKILL)
    assert not (folder / "outcome").exists()


@pytest.mark.slow
def test_sigkill_in_a_step_and_then_inside_a_save(tmp_path: Path) -> None:
    cut_off(tmp_path / "cut", "step", 5)
    cut_off(tmp_path / "cut", "save", 300)
    assert train(tmp_path / "cut") == train(tmp_path / "whole") == 0
    assert outcome(tmp_path / "cut")[0] == outcome(tmp_path / "whole")[0]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["step", "save", "term"])
def test_at_random_places(tmp_path: Path, how: str) -> None:
    """SIGKILL at 40 places in steps and 20 inside saves, SIGTERM at 20."""
    assert train(tmp_path / "whole", "count", -1) == 0
    expected, lines = outcome(tmp_path / "whole")
    last = int(lines) if how == "save" else STEPS
    places = np.random.default_rng(0).integers(1, last + 1, 40 if how == "step" else 20).tolist()
    for turn, place in enumerate(places):
        cut_off(tmp_path / str(turn), how, place)
        assert train(tmp_path / str(turn)) == 0
        assert outcome(tmp_path / str(turn))[0] == expected
