"""Hyperparameter searches. Each is an Optuna study in an SQLite file or a database, named after a hash of its config.

A search that was killed can be resumed. Finished trials are kept, and the interrupted trial is trained again with the
same values and the same number. :mod:`~goodbad_pipeline.experiments.shared_search` is for several processes.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.experiments.trial_spec import COMPLETE, TrialResult
from goodbad_pipeline.training.config_hash import Config, config_differences, config_hash

if TYPE_CHECKING:
    import optuna
    import sqlalchemy
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
else:  # the import takes a second, and every run of the catalog loads this module
    optuna = lazy.load("optuna")
databases = lazy.load("goodbad_pipeline.databases")

logger = logging.getLogger(__name__)

STORAGE = "tune.storage"
HEARTBEAT = 30  # seconds between two heartbeats of a process that runs a trial of a shared search
GRACE = 120  # seconds without a heartbeat after which the process counts as dead
RESULT = "result"
RANDOM_TRIALS = 6  # number of trials with random values before the sampler models the results
Values = Mapping[str, Any]
_CONFIG, _OWNER = "config", "owner"
_CREATIONS = 5  # several processes may create the tables of a new database at once; all but one fail and try again
_MOST_DIFFERENCES = 3


@dataclass(frozen=True)
class SearchPlan:
    """Settings of a search.

    No trial is pruned before `pruning_startup` trials are complete, or in its first `pruning_warmup` epochs.
    """

    metric: str
    seed: int
    pruning_startup: int
    pruning_warmup: int


@dataclass(frozen=True)
class Trial:
    """One trial of a search. Trial 0 has the configured values; Optuna proposes the values of later trials.

    The result is None while the trial runs. `process` names the process that trained a trial of a shared search.
    """

    number: int
    values: Values
    result: TrialResult | None = None
    process: str | None = None


class Search:
    """A search that only this process runs. Trial 0 uses ``present``, the configured values."""

    def __init__(
        self, study: optuna.Study, plan: SearchPlan, space: Mapping[str, BaseDistribution], present: Values
    ) -> None:
        self._study, self._plan, self._space = study, plan, dict(space)
        trials = study.get_trials(deepcopy=False)
        # A resumed search needs another seed; with the same seed it would propose the same first values again.
        study.sampler = optuna.samplers.TPESampler(seed=plan.seed + len(trials), n_startup_trials=RANDOM_TRIALS)
        self._repeat_interrupted(trials, present)

    def _repeat_interrupted(self, trials: Sequence[FrozenTrial], present: Values) -> None:
        """Enqueue the values of the interrupted trial again, and mark the interrupted trial as failed.

        If no trial has finished, ``present`` is enqueued, because trial 0 uses these values.
        """
        state = optuna.trial.TrialState
        interrupted = [trial for trial in trials if trial.state == state.RUNNING]
        if not any(trial.state == state.WAITING for trial in trials):
            if not self._finished():
                self._study.enqueue_trial(dict(present))
            elif interrupted:
                self._study.enqueue_trial(interrupted[-1].params)
        for trial in interrupted:  # last, so that a kill in between loses no values
            self._study.tell(trial.number, state=state.FAIL)

    def run(self, total: int, train: Callable[[Trial], TrialResult]) -> None:
        """Call `train` with each finished trial, to record it, then with new trials until `total` have a result."""
        for trial in islice(self.finished(), total):
            train(trial)
        while len(self._finished()) < total:
            self.report(train(self.next()))

    def finished(self) -> list[Trial]:
        """Return the trials that have a result, in order."""
        return [
            Trial(number, {name: trial.params[name] for name in self._space}, trial.user_attrs[RESULT])
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
        self._running.set_user_attr(RESULT, result)
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
    """Stores the searches of a project in the SQLite file `path`, or shared searches in the database `url`.

    `owner` returns the id of the active MLflow run, which is stored with each search.
    """

    def __init__(
        self,
        path: Path,
        owner: Callable[[], str | None] = lambda: None,
        url: sqlalchemy.URL | None = None,
    ) -> None:
        self._path, self._owner, self.url = path, owner, url

    def open(self, config: Config, plan: SearchPlan) -> optuna.Study:
        """Open or create the study of a config, and record the active run as the owner of the study."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=self.storage,
            study_name=config_hash(config),
            direction="maximize" if larger_is_better(plan.metric) else "minimize",
            pruner=optuna.pruners.MedianPruner(plan.pruning_startup, plan.pruning_warmup),
            load_if_exists=True,
        )
        study.set_user_attr(_CONFIG, config)
        study.set_user_attr(_OWNER, self._owner())
        return study

    def find_owner(self, config: Config) -> str | None:
        """Return the run that owns the newest search with all items of `config` in its own config, or None.

        A shared search has no owner, because each of its processes has a run of its own.
        """
        if self.url is not None or not self._path.exists():
            return None
        for study in self._newest_first():
            stored = study.user_attrs.get(_CONFIG, {})
            if all(stored.get(name) == value for name, value in config.items()):
                return study.user_attrs.get(_OWNER)
        return None

    def agree(self, study: optuna.Study, name: str, value: Any) -> Any:
        """Return the same value to all processes of a shared search: the `value` that the first process passes."""
        if self.url is None:
            return value
        with databases.named_errors(STORAGE, self.url), databases.exclusive(self.storage.engine):
            if name not in study.user_attrs:
                study.set_user_attr(name, value)
            return study.user_attrs[name]

    def log_join(self, config: Config) -> None:
        """Log that the process joins a shared search, or how its new search differs from the newest stored search."""
        if self.url is None:
            return
        studies = {study.study_name: study.user_attrs.get(_CONFIG) or {} for study in self._newest_first()}
        searches = [other for other in studies.values() if other.keys() == config.keys()]
        if config_hash(config) in studies:
            logger.info("Joining the search of other processes in %s", STORAGE)
        elif searches:
            differences = config_differences(searches[0], config)
            more = len(differences) - _MOST_DIFFERENCES
            logger.warning(
                "Starting a new search in %s; the newest search there has another configuration: %s%s",
                STORAGE,
                "; ".join(differences[:_MOST_DIFFERENCES]),
                f"; and {more} more differences" if more > 0 else "",
            )

    @cached_property
    def storage(self) -> optuna.storages.RDBStorage:
        """The Optuna storage."""
        databases.name_databases()
        if self.url is not None:
            return self._connect(self.url)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(f"sqlite:///{self._path}")

    def _newest_first(self) -> list[Any]:
        return optuna.get_all_study_summaries(self.storage, include_best_trial=False)[::-1]

    @staticmethod
    def _connect(url: sqlalchemy.URL) -> optuna.storages.RDBStorage:
        with databases.named_errors(STORAGE, url), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            attempt = 0
            while True:
                try:
                    return optuna.storages.RDBStorage(
                        url.render_as_string(hide_password=False),
                        engine_kwargs=databases.engine_arguments(url),
                        heartbeat_interval=HEARTBEAT,
                        grace_period=GRACE,
                    )
                except databases.SQLAlchemyError:
                    attempt += 1
                    if attempt == _CREATIONS:
                        raise
                    time.sleep(attempt)
