"""Searches that resume where they were cut off; a formula replaces the training."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import files_of_at_most
from searching import CONFIG, PLAN, PRESENT, loss, open_search, run_search

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.experiments.study import StudyStore


def run(file: Path, *arguments: int) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("searching.py")), str(file), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[dict]:
    return run_search(tmp_path_factory.mktemp("whole") / "s.db", 12)


def test_trial_0_is_the_present_and_the_best_is_no_worse(whole: list[dict]) -> None:
    assert {name: whole[0][name] for name in PRESENT} == PRESENT
    assert whole[0]["complete"] == 1
    assert [row["number"] for row in whole] == list(range(12))
    assert min(row["val_log_loss"] for row in whole if row["complete"]) < loss(**PRESENT, epoch=3)


def test_hopeless_trials_are_pruned_early(whole: list[dict]) -> None:
    pruned = [row for row in whole if not row["complete"]]
    assert pruned
    assert {row["epochs"] for row in pruned} < {1, 2, 3}


@pytest.mark.long
def test_a_killed_search_keeps_its_trials_and_trains_the_one_it_was_at_again(whole: list[dict], tmp_path: Path) -> None:
    killed = run(tmp_path / "s.db", 12, 5)
    assert killed.returncode == -signal.SIGKILL
    resumed = run_search(tmp_path / "s.db", 12)
    assert resumed[:5] == whole[:5]
    assert [row["number"] for row in resumed] == list(range(12))
    assert {name: resumed[5][name] for name in PRESENT} == json.loads(killed.stdout)


def test_a_search_that_is_cut_off_twice_in_one_trial_trains_that_trial_once(tmp_path: Path) -> None:
    run_search(tmp_path / "s.db", 2)
    values = [open_search(tmp_path / "s.db").next().values for _ in range(2)]
    assert values[0] == values[1]
    rows = run_search(tmp_path / "s.db", 4)
    assert [row["number"] for row in rows] == list(range(4))
    assert {name: rows[2][name] for name in PRESENT} == values[0]
    assert rows[3]["rate"] != rows[2]["rate"]


def test_a_finished_search_continues_if_more_trials_are_requested(whole: list[dict], tmp_path: Path) -> None:
    first = run_search(tmp_path / "s.db", 7)
    assert first == whole[:7]
    assert run_search(tmp_path / "s.db", 7) == first
    more = run_search(tmp_path / "s.db", 12)
    assert more[:7] == first
    assert len({row["rate"] for row in more}) == 12


def test_another_seed_proposes_other_values_after_the_present(whole: list[dict], tmp_path: Path) -> None:
    other = run_search(tmp_path / "s.db", 3, plan=replace(PLAN, seed=1))
    assert other[0] == whole[0]
    assert other[1]["rate"] != whole[1]["rate"]


def test_a_full_disk_names_the_searches(tmp_path: Path) -> None:
    run_search(tmp_path / "s.db", 1)
    with files_of_at_most(100), pytest.raises(InputError, match=r"s\.db: cannot be written \("):
        run_search(tmp_path / "s.db", 2)
    assert len(run_search(tmp_path / "s.db", 2)) == 2


def test_the_owner_is_that_of_the_newest_search_with_the_same_config(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    assert StudyStore(file).find_owner(CONFIG) is None
    StudyStore(file, owner=lambda: "run 1").open(CONFIG, PLAN)
    StudyStore(file, owner=lambda: "run 2").open({"code": "2"}, PLAN)
    assert StudyStore(file).find_owner(CONFIG) == "run 1"
    assert StudyStore(file).find_owner({"code": "2"}) == "run 2"
    assert StudyStore(file).find_owner({"code": "3"}) is None
    StudyStore(file, owner=lambda: "run 3").open(CONFIG, PLAN)
    assert StudyStore(file).find_owner(CONFIG) == "run 3"


def test_a_kill_between_two_proposed_values_leaves_trial_0_the_present(tmp_path: Path) -> None:
    open_search(tmp_path / "studies.db")
    trial = StudyStore(tmp_path / "studies.db").open(CONFIG, PLAN).ask()
    trial.suggest_float("rate", 1e-4, 1, log=True)  # killed before the second value
    again = open_search(tmp_path / "studies.db").next()
    assert (again.number, dict(again.values)) == (0, PRESENT)


def test_a_kill_before_an_interrupted_trial_is_failed_loses_no_values(tmp_path: Path) -> None:
    open_search(tmp_path / "studies.db")
    study = StudyStore(tmp_path / "studies.db").open(CONFIG, PLAN)
    study.ask()
    study.enqueue_trial(dict(PRESENT))  # what a resumed search does first
    assert dict(open_search(tmp_path / "studies.db").next().values) == PRESENT
