"""Hyperparameter searches. Each is an Optuna study in a shared SQLite file, named after a hash of its config.

A search that was killed can be resumed: its finished trials are kept, and the interrupted trial is trained again with
the same values and the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.experiments.trial_spec import COMPLETE, TrialResult
from goodbad_pipeline.training.config_hash import Config, config_hash

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
else:  # the import takes a second, and every run of the catalog loads this module
    optuna = lazy.load("optuna")
databases = lazy.load("goodbad_pipeline.databases")

Values = Mapping[str, Any]
_CONFIG, _OWNER, _RESULT = "config", "owner", "result"
_RANDOM_TRIALS = 6  # number of trials with random values before the sampler models the results


@dataclass(frozen=True)
class SearchPlan:
    """Settings of a search.

    No trial is pruned before `pruning_startup` trials are complete, or before its own first `pruning_warmup` epochs.
    """

    metric: str
    seed: int
    pruning_startup: int
    pruning_warmup: int


@dataclass(frozen=True)
class Trial:
    """One trial of a search, with the values that Optuna proposed; trial 0 has the present values instead.

    The result is None while the trial runs.
    """

    number: int
    values: Values
    result: TrialResult | None = None


class Search:
    """One search. Its trials run one after the other; trial 0 uses the present values of the searched parameters."""

    def __init__(
        self, study: optuna.Study, plan: SearchPlan, space: Mapping[str, BaseDistribution], present: Values
    ) -> None:
        self._study, self._plan, self._space = study, plan, dict(space)
        trials = study.get_trials(deepcopy=False)
        # A resumed search needs another seed; with the same seed it would propose the same first values again.
        study.sampler = optuna.samplers.TPESampler(seed=plan.seed + len(trials), n_startup_trials=_RANDOM_TRIALS)
        self._repeat_interrupted(trials, present)

    def _repeat_interrupted(self, trials: Sequence[FrozenTrial], present: Values) -> None:
        """Enqueue an interrupted trial again and mark it as failed. Before trial 0, enqueue the present values."""
        state = optuna.trial.TrialState
        interrupted = [trial for trial in trials if trial.state == state.RUNNING]
        if not any(trial.state == state.WAITING for trial in trials):
            if not self._finished():
                self._study.enqueue_trial(dict(present))
            elif interrupted:
                self._study.enqueue_trial(interrupted[-1].params)
        for trial in interrupted:  # last, so that a kill in between loses no values
            self._study.tell(trial.number, state=state.FAIL)

    def finished(self) -> list[Trial]:
        """Return the trials that have a result, in order."""
        return [
            Trial(number, {name: trial.params[name] for name in self._space}, trial.user_attrs[_RESULT])
            for number, trial in enumerate(self._finished())
        ]

    def next(self) -> Trial:
        """Start the interrupted trial again, or a new trial if none was interrupted."""
        self._running = self._study.ask(self._space)
        values = {name: self._running.params[name] for name in self._space}
        return Trial(len(self._finished()), values)

    def should_prune(self, epoch: int, value: float) -> bool:
        """Record the metric of the running trial after an epoch (1, 2, …); return whether to prune the trial."""
        self._running.report(value, epoch - 1)
        return self._running.should_prune()

    def report(self, result: TrialResult) -> None:
        """Store the result of the running trial, which has ended: complete, pruned, diverged or out of memory."""
        self._running.set_user_attr(_RESULT, result)
        if result[COMPLETE]:
            self._study.tell(self._running, result[self._plan.metric])
        else:
            self._study.tell(self._running, state=optuna.trial.TrialState.PRUNED)

    def _finished(self) -> list[FrozenTrial]:
        """Return the trials that ended, in order.

        The number of a trial is its position in this list; Optuna's own numbers also count interrupted trials.
        """
        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        return self._study.get_trials(deepcopy=False, states=states)


class StudyStore:
    """All searches of a project, in an SQLite file.

    `owner` returns the id of the active MLflow run, which is stored with each search.
    """

    def __init__(self, path: Path, owner: Callable[[], str | None] = lambda: None) -> None:
        self._path, self._owner = path, owner

    def open(self, config: Config, plan: SearchPlan) -> optuna.Study:
        """Return the study of this config, or create it; record the active run as its owner."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=self._storage(),
            study_name=config_hash(config),
            direction="maximize" if larger_is_better(plan.metric) else "minimize",
            pruner=optuna.pruners.MedianPruner(plan.pruning_startup, plan.pruning_warmup),
            load_if_exists=True,
        )
        study.set_user_attr(_CONFIG, config)
        study.set_user_attr(_OWNER, self._owner())
        return study

    def find_owner(self, config: Config) -> str | None:
        """Return the run that owns the newest search whose config contains the items of `config`, or None."""
        if not self._path.exists():
            return None
        for study in reversed(optuna.get_all_study_summaries(self._storage(), include_best_trial=False)):
            stored = study.user_attrs.get(_CONFIG, {})
            if all(stored.get(name) == value for name, value in config.items()):
                return study.user_attrs.get(_OWNER)
        return None

    def _storage(self) -> optuna.storages.RDBStorage:
        databases.name_databases()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(f"sqlite:///{self._path}")
