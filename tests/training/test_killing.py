"""Real signals to real processes, at random places: every run goes on to the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_training import tiny_fit

STEPS = 12  # of the tiny training: two epochs of three steps, twice


def train(folder: Path, how: str = "live", number: int = 0) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__).with_name("killing.py")), str(folder), how, str(number)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def outcome(done: subprocess.CompletedProcess) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def cut_off(folder: Path, how: str, number: int) -> None:
    done = train(folder, how, number)
    assert done.returncode == (143 if how == "term" else -signal.SIGKILL), done.stderr


@pytest.mark.slow
def test_sigkill_in_a_step_and_then_inside_a_save(tmp_path: Path, eager: None) -> None:
    cut_off(tmp_path / "cut", "step", 5)
    cut_off(tmp_path / "cut", "save", 300)
    assert tiny_fit(tmp_path / "cut") == tiny_fit(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["step", "save", "term"])
def test_at_random_places(tmp_path: Path, how: str) -> None:
    """SIGKILL at 40 places in steps and 20 inside saves, SIGTERM at 20."""
    expected, lines = outcome(train(tmp_path / "whole", "count", -1))
    last = int(lines) if how == "save" else STEPS
    places = np.random.default_rng(0).integers(1, last + 1, 40 if how == "step" else 20).tolist()
    for turn, place in enumerate(places):
        cut_off(tmp_path / str(turn), how, place)
        assert outcome(train(tmp_path / str(turn)))[0] == expected
