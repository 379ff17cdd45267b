"""A search to kill: ``python searching.py FILE TRIALS [KILLED]`` prints its trials as JSON.

A formula replaces the training. SIGKILL comes in trial KILLED, after its first epoch. If FILE is the URL of a database,
several processes search together, and an epoch takes `PAUSE` seconds.
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution
from sqlalchemy import make_url

from goodbad_pipeline.experiments import shared_search, study
from goodbad_pipeline.experiments.shared_search import SharedSearch
from goodbad_pipeline.experiments.study import Search, SearchPlan, StudyStore, Trial
from goodbad_pipeline.training.stopping import StopRequest

CONFIG = {"code": "1"}
PLAN = SearchPlan("val_log_loss", seed=0, pruning_startup=2, pruning_warmup=0)
PRESENT = {"rate": 0.5, "kind": "a"}
SPACE = {"rate": FloatDistribution(1e-4, 1, log=True), "kind": CategoricalDistribution(["a", "b", None])}
EPOCHS = 3
PAUSE = 0.2


def loss(rate: float, kind: str | None, epoch: int) -> float:
    return abs(rate - 0.01) + (kind != "b") * 0.1 + 1 / (epoch + 2)


def open_search(file: Path, plan: SearchPlan = PLAN) -> Search:
    return Search(StudyStore(file).open(CONFIG, plan), plan, SPACE, PRESENT)


def open_shared(url: str, stop: StopRequest | None = None) -> SharedSearch:
    store = StudyStore(Path(), url=make_url(url))
    return SharedSearch(store, store.open(CONFIG, PLAN), PLAN, SPACE, PRESENT, stop or StopRequest())


def run_search(file: Path, trials: int, killed: int | None = None, plan: SearchPlan = PLAN) -> list[dict]:
    """Return all trials: number, values, epochs, complete and the loss."""
    search, rows = open_search(file, plan), []

    def run(trial: Trial) -> dict[str, float]:
        result = trial.result or train(search, trial, killed)
        rows.append(row(replace(trial, result=result)))
        return result

    search.run(trials, run)
    return rows


def run_shared(url: str, trials: int, killed: int | None = None) -> list[dict]:
    """Return all trials of all processes, with the process."""
    search, rows = open_shared(url), []

    def run(trial: Trial) -> dict[str, float]:
        if trial.result is None:
            return train(search, trial, killed, PAUSE)
        rows.append({**row(trial), "process": trial.process})
        return trial.result

    search.run(trials, run)
    return sorted(rows, key=lambda row: row["number"])


def row(trial: Trial) -> dict:
    return {"number": trial.number, **trial.values, **trial.result}


def train(search: Search | SharedSearch, trial: Trial, killed: int | None, pause: float = 0) -> dict[str, float]:
    for epoch in range(1, EPOCHS + 1):
        time.sleep(pause)
        value = loss(**trial.values, epoch=epoch)
        pruned = search.should_prune(epoch, value)
        if trial.number == killed:
            sys.stdout.write(json.dumps(dict(trial.values)))
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if pruned:
            return {"complete": 0.0, "epochs": epoch, "val_log_loss": value}
    return {"complete": 1.0, "epochs": EPOCHS, "val_log_loss": value}


if __name__ == "__main__":
    study.HEARTBEAT, study.GRACE, shared_search.POLL = 1, 3, 0.2
    target, trials, *killed = sys.argv[1:]
    search = run_shared if "://" in target else run_search
    sys.stdout.write(json.dumps(search(target if "://" in target else Path(target), int(trials), *map(int, killed))))
