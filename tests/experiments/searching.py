"""A search to kill: ``python searching.py FILE TRIALS [KILLED]`` prints its trials as JSON.

A formula replaces the training. SIGKILL comes in trial KILLED, after its first epoch.
"""

import json
import os
import signal
import sys
from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution

from goodbad_pipeline.experiments.study import Search, SearchPlan, StudyStore, Trial

CONFIG = {"code": "1"}
PLAN = SearchPlan("val_log_loss", seed=0, pruning_startup=2, pruning_warmup=0)
PRESENT = {"rate": 0.5, "kind": "a"}
EPOCHS = 3


def loss(rate: float, kind: str | None, epoch: int) -> float:
    return abs(rate - 0.01) + (kind != "b") * 0.1 + 1 / (epoch + 2)


def open_search(file: Path, plan: SearchPlan = PLAN) -> Search:
    space = {"rate": FloatDistribution(1e-4, 1, log=True), "kind": CategoricalDistribution(["a", "b", None])}
    return Search(StudyStore(file).open(CONFIG, plan), plan, space, PRESENT)


def run_search(file: Path, trials: int, killed: int | None = None, plan: SearchPlan = PLAN) -> list[dict]:
    """Return all trials: number, values, epochs, complete and the loss."""
    search = open_search(file, plan)
    rows = [{"number": trial.number, **trial.values, **trial.result} for trial in search.finished()]
    while len(rows) < trials:
        trial = search.next()
        result = train(search, trial, killed)
        search.report(result)
        rows.append({"number": trial.number, **trial.values, **result})
    return rows


def train(search: Search, trial: Trial, killed: int | None) -> dict[str, float]:
    for epoch in range(1, EPOCHS + 1):
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
    file, trials, *killed = sys.argv[1:]
    sys.stdout.write(json.dumps(run_search(Path(file), int(trials), *map(int, killed))))
