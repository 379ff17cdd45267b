"""Searches that several processes run together; a formula replaces the training."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
from postgres_server import PASSWORD, USER, postgres_server
from searching import CONFIG, PLAN, PRESENT, open_shared, run_shared, train
from sqlalchemy import make_url

from goodbad_pipeline.experiments import shared_search, study
from goodbad_pipeline.experiments.shared_search import SharedSearch
from goodbad_pipeline.experiments.study import StudyStore, Trial
from goodbad_pipeline.training.config_hash import config_hash
from goodbad_pipeline.training.stopping import Stopped, StopRequest

TRIALS = 8
FAIL, RUNNING = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.RUNNING


@pytest.fixture
def url(tmp_path: Path, monkeypatch) -> str:
    monkeypatch.setattr(shared_search, "POLL", 0.01)
    return f"sqlite:///{tmp_path / 's.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 's.db'}"
        return
    with postgres_server() as server:
        yield server.replace("//", f"//{USER}:{quote(PASSWORD, safe='')}@").replace("postgresql", "postgresql+psycopg")


def process(url: str, *arguments: int) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("searching.py")), url, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def study_of(url: str) -> optuna.Study:
    return optuna.load_study(study_name=config_hash(CONFIG), storage=StudyStore(Path(), url=make_url(url)).storage)


def states(url: str) -> list[str]:
    return [trial.state.name for trial in study_of(url).get_trials(deepcopy=False)]


def finish(*processes: subprocess.Popen) -> list[tuple[int, object]]:
    outputs = [each.communicate()[0] for each in processes]
    return [(each.returncode, json.loads(output)) for each, output in zip(processes, outputs, strict=True)]


@pytest.mark.long
def test_a_trial_of_a_killed_process_is_taken_up_by_another(any_url: str) -> None:
    first, second = finish(process(any_url, TRIALS, 4), process(any_url, TRIALS, 4))
    assert first == second  # both were killed in trial 4, with the same values
    assert first[0] == -signal.SIGKILL
    third, fourth = finish(process(any_url, TRIALS), process(any_url, TRIALS))
    assert third == fourth
    code, rows = third
    assert code == 0
    assert [row["number"] for row in rows] == list(range(TRIALS))
    assert {name: rows[0][name] for name in PRESENT} == PRESENT
    assert {name: rows[4][name] for name in PRESENT} == first[1]
    assert len({row["rate"] for row in rows}) == TRIALS
    assert states(any_url).count("FAIL") == 2
    assert len(states(any_url)) == TRIALS + 2


def searches(url: str, number: int = 2) -> list[SharedSearch]:
    return [open_shared(url) for _ in range(number)]


def test_the_trials_of_all_processes_count(url: str) -> None:
    first, second = searches(url)
    claimed = [search._claim(3) for search in (first, second, first)]
    assert [trial.number for trial, _ in claimed] == [0, 1, 2]
    assert dict(claimed[0][0].values) == PRESENT
    assert len({trial.values["rate"] for trial, _ in claimed}) == 3
    assert first._claim(3) is None
    assert states(url) == ["RUNNING"] * 3


def test_proposals_depend_on_the_seed_and_the_trials_but_not_on_the_process(url: str, tmp_path: Path) -> None:
    first, second = searches(url)
    (alone,) = searches(f"sqlite:///{tmp_path / 'other.db'}", 1)
    together = [search._claim(3)[0].values for search in (first, second, second)]
    assert [alone._claim(3)[0].values for _ in range(3)] == together


def test_a_process_that_stops_hands_its_trial_over_at_once(url: str) -> None:
    first, second = searches(url)
    began: list[Trial] = []

    def stop(trial: Trial) -> dict[str, float]:
        began.append(trial)
        raise Stopped("SIGTERM", "in a test")

    with pytest.raises(Stopped):
        first.run(2, stop)
    assert second._claim(2)[0] == began[0]
    assert states(url) == ["FAIL", "RUNNING"]


def test_a_process_that_waits_for_others_can_be_stopped(url: str, caplog, monkeypatch) -> None:
    (first,) = searches(url, 1)
    first._claim(1)
    request = StopRequest()
    waiting = open_shared(url, request)

    def wait(seconds: float) -> None:
        request.set("SIGTERM")

    monkeypatch.setattr(shared_search.time, "sleep", wait)
    with caplog.at_level(logging.INFO), pytest.raises(Stopped, match="SIGTERM"):
        waiting.run(1, lambda _: pytest.fail("no trial is left"))
    assert f"Waiting for trials of other processes: 0 ({os.uname().nodename}-{os.getpid()})" in caplog.text


def test_a_kill_while_a_trial_is_claimed_loses_no_trial(url: str) -> None:
    (search,) = searches(url, 1)
    claimed = study_of(url)
    claimed.enqueue_trial(PRESENT)
    claimed.ask()  # killed before the process is stored
    assert search._claim(2)[0].number == 0
    assert dict(search._claim(2)[0].values) != PRESENT
    claimed.enqueue_trial({"rate": 0.25}, user_attrs={"number": 1})  # killed before the trial was asked for
    trial, _ = search._claim(2)
    assert (trial.number, trial.values["rate"]) == (1, 0.25)


def test_a_process_without_heartbeat_that_is_alive_gives_up_its_trial(url: str, monkeypatch) -> None:
    monkeypatch.setattr(study, "GRACE", 1)
    late, other = searches(url)
    results: list[Trial] = []

    def run(trial: Trial) -> dict[str, float]:
        if trial.result is not None:
            results.append(trial)
            return trial.result
        for attempt in study_of(url).get_trials(deepcopy=False):
            if attempt.state == RUNNING:
                study_of(url).tell(attempt.number, state=FAIL)
        other.run(1, lambda trial: trial.result or train(other, trial, None))
        return train(late, trial, None)

    late.run(1, run)
    assert states(url) == ["FAIL", "COMPLETE"]
    assert [trial.number for trial in results] == [0]


def test_a_process_with_more_trials_continues_the_search(url: str) -> None:
    assert [row["number"] for row in run_shared(url, 2)] == [0, 1]
    more = run_shared(url, 4)
    assert [row["number"] for row in more] == [0, 1, 2, 3]
    assert run_shared(url, 2) == more[:2]


def test_processes_agree_on_the_value_of_the_first(url: str) -> None:
    first, second = (StudyStore(Path(), url=make_url(url)) for _ in range(2))
    assert first.agree(first.open(CONFIG, PLAN), "rates", {"low": 0.1}) == {"low": 0.1}
    assert second.agree(second.open(CONFIG, PLAN), "rates", {"low": 0.3}) == {"low": 0.1}
    alone = StudyStore(Path("unused.db"))
    assert alone.agree(None, "rates", {"low": 0.3}) == {"low": 0.3}


def test_another_configuration_is_another_search_and_the_log_says_why(url: str, caplog) -> None:
    store = StudyStore(Path(), owner=lambda: "run 1", url=make_url(url))
    with caplog.at_level(logging.INFO):
        store.log_join(CONFIG)
        assert not caplog.messages
        store.open(CONFIG, PLAN)
        store.log_join(CONFIG)
        store.log_join({"code": "2"})
    assert caplog.messages == [
        "Joining the search of other processes in tune.storage",
        "Starting a new search in tune.storage; the newest search there has another configuration: code was 1, is 2",
    ]
    assert store.find_owner(CONFIG) is None
