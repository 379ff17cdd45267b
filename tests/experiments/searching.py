"""A search to be killed: ``python searching.py FILE TRIALS [KILLED]`` prints its trials as JSON.

What is tried is a formula in place of a training; SIGKILL comes in the middle of trial KILLED, after its first epoch.
"""

import json
import os
import signal
import sys
from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution

from goodbad_pipeline.experiments.study import Search, SearchPlan, StudyStore

FACTS = {"code": "1"}
PLAN = SearchPlan("val_log_loss", larger_is_better=False, seed=0, pruning_startup=2, pruning_warmup=0)
SPACE = {"rate": FloatDistribution(1e-4, 1, log=True), "kind": CategoricalDistribution(["a", "b", None])}
PRESENT = {"rate": 0.5, "kind": "a"}
EPOCHS = 3


def loss(rate: float, kind: str | None, epoch: int) -> float:
    return abs(rate - 0.01) + (kind != "b") * 0.1 + 1 / (epoch + 2)


def search(file: Path, trials: int, killed: int | None = None, plan: SearchPlan = PLAN) -> list[dict]:
    """All trials: number, values, epochs, complete and the loss."""
    going = Search(StudyStore(file).open(FACTS, plan), plan, SPACE, PRESENT)
    rows = [{"number": one.number, **one.values, **result} for one, result in going.done()]
    while len(rows) < trials:
        attempt = going.next()
        result = train(attempt, killed)
        going.tell(attempt.number, result, complete=bool(result["complete"]))
        rows.append({"number": attempt.number, **attempt.values, **result})
    return rows


def train(attempt, killed: int | None) -> dict[str, float]:
    for epoch in range(1, EPOCHS + 1):
        value = loss(**attempt.values, epoch=epoch)
        given_up = attempt.prune(epoch, value)
        if attempt.number == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if given_up:
            return {"complete": 0.0, "epochs": epoch, "val_log_loss": value}
    return {"complete": 1.0, "epochs": EPOCHS, "val_log_loss": value}


if __name__ == "__main__":
    file, trials, *killed = sys.argv[1:]
    rows = search(Path(file), int(trials), *map(int, killed))
    sys.stdout.write(json.dumps(rows))
