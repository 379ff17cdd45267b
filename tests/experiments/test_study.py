"""Searches that go on where they were cut off; a formula stands for the training."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import files_of_at_most
from optuna.trial import Trial
from searching import FACTS, PLAN, PRESENT, loss, search

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.experiments.study import StudyStore


def run(file: Path, *arguments: int) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("searching.py")), str(file), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[dict]:
    return search(tmp_path_factory.mktemp("whole") / "s.db", 12)


def test_trial_0_is_the_present_and_the_best_is_no_worse(whole: list[dict]) -> None:
    assert {name: whole[0][name] for name in PRESENT} == PRESENT
    assert whole[0]["complete"] == 1
    assert [row["number"] for row in whole] == list(range(12))
    assert min(row["val_log_loss"] for row in whole if row["complete"]) < loss(**PRESENT, epoch=3)


def test_what_looks_hopeless_is_given_up_early(whole: list[dict]) -> None:
    given_up = [row for row in whole if not row["complete"]]
    assert given_up
    assert {row["epochs"] for row in given_up} < {1, 2, 3}


@pytest.mark.long
def test_killed_in_a_trial_it_ends_with_the_trials_of_one_that_was_not(whole: list[dict], tmp_path: Path) -> None:
    assert run(tmp_path / "s.db", 12, 5) == -signal.SIGKILL
    first = search(tmp_path / "s.db", 5)
    assert first == whole[:5]
    assert search(tmp_path / "s.db", 12) == whole


@pytest.mark.parametrize("trials", [3, 9])
def test_cut_off_between_two_values_it_ends_with_the_same_trials(
    whole: list[dict], tmp_path: Path, trials: int
) -> None:
    """One value of the trial is on record then; values are drawn one by one at first, later together."""
    search(tmp_path / "s.db", trials)
    real = Trial._suggest
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trial, "_suggest", lambda *said: real(*said) if said[1] == "rate" else cut_off())
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "s.db", 12)
    assert search(tmp_path / "s.db", 12) == whole


def cut_off() -> None:
    raise KeyboardInterrupt


def test_a_search_that_is_done_goes_on_if_more_trials_are_asked_for(whole: list[dict], tmp_path: Path) -> None:
    assert search(tmp_path / "s.db", 7) == whole[:7]
    assert search(tmp_path / "s.db", 7) == whole[:7]
    assert search(tmp_path / "s.db", 12) == whole


def test_another_seed_proposes_other_values_after_the_present(whole: list[dict], tmp_path: Path) -> None:
    other = search(tmp_path / "s.db", 3, plan=replace(PLAN, seed=1))
    assert other[0] == whole[0]
    assert other[1]["rate"] != whole[1]["rate"]


def test_a_full_disk_names_the_searches(tmp_path: Path) -> None:
    search(tmp_path / "s.db", 1)
    with files_of_at_most(100), pytest.raises(InputError, match=r"s\.db: cannot be written \("):
        search(tmp_path / "s.db", 2)
    assert len(search(tmp_path / "s.db", 2)) == 2


def test_the_owner_is_that_of_the_newest_search_of_the_same_facts(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    assert StudyStore(file).find_owner(FACTS) is None
    StudyStore(file, owner=lambda: "run 1").open(FACTS, PLAN)
    StudyStore(file, owner=lambda: "run 2").open({"code": "2"}, PLAN)
    assert StudyStore(file).find_owner(FACTS) == "run 1"
    assert StudyStore(file).find_owner({"code": "2"}) == "run 2"
    assert StudyStore(file).find_owner({"code": "3"}) is None
    StudyStore(file, owner=lambda: "run 3").open(FACTS, PLAN)
    assert StudyStore(file).find_owner(FACTS) == "run 3"
