"""Real signals to real processes at random lines: every resumed run ends with the same bits."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

OFTEN = {"ema": 1.0, "keep_epoch": "last", "checkpoints": {"minutes": 1e-9}}  # one after each step
STARTER = multiprocessing.get_context("forkserver")  # it imports TensorFlow once, and computes nothing before it forks


@pytest.fixture(scope="module", autouse=True)
def _imported_once() -> None:
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", here)  # read when the first process starts
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        STARTER.set_forkserver_preload(["__main__", "killing"])
        yield


def train(folder: Path, how: str = "live", number: int = 0, options: dict | None = None) -> int | None:
    """Train in a separate process and return its exit status."""
    from killing import main

    process = STARTER.Process(target=main, args=(folder, how, number, options or {}))
    process.start()
    process.join()
    return process.exitcode


def outcome(folder: Path) -> list[str]:
    return (folder / "outcome").read_text().split()


@pytest.mark.slow
def test_sigkill_in_a_step_and_then_inside_a_save(tmp_path: Path) -> None:
    for how, number in (("step", 5), ("save", 300)):
        assert train(tmp_path / "cut", how, number) == -signal.SIGKILL
        assert not (tmp_path / "cut/outcome").exists()
    assert train(tmp_path / "cut") == train(tmp_path / "whole") == 0
    assert outcome(tmp_path / "cut")[0] == outcome(tmp_path / "whole")[0]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, OFTEN], ids=["an epoch", "a step"])
@pytest.mark.parametrize(("how", "times"), [("step", 6), ("line", 20), ("save", 10), ("term", 10)])
def test_signals_at_random_lines(tmp_path: Path, how: str, times: int, options: dict) -> None:
    """SIGKILL in 12 steps, at 40 lines of the package and at 20 of any code inside saves; SIGTERM at 20.

    With a checkpoint per epoch, and with one per step and averaged weights.
    """
    assert train(tmp_path / "whole", how, -1, options) == 0
    expected, count = outcome(tmp_path / "whole")
    lines = np.random.default_rng(0).choice(int(count), times, replace=False) + 1
    late = 0
    for line in lines.tolist():
        folder = tmp_path / str(line)
        ended = train(folder, how, line, options)
        if ended == 0:  # the signal came after the last step
            late += 1
        else:
            assert ended == (143 if how == "term" else -signal.SIGKILL)
            assert not (folder / "outcome").exists()
            assert train(folder, options=options) == 0
        assert outcome(folder)[0] == expected
    assert late <= (times // 2 if how == "term" else 0)
