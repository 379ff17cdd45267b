"""A search that several processes run together, on one database of Optuna.

The database counts the trials of all processes. A process locks the database while it chooses its next trial. During a
trial, the process records a heartbeat in the database. If the heartbeat stops, another process trains the trial again,
with the same values and the same number.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from goodbad_pipeline import lazy
from goodbad_pipeline.experiments import study as studies
from goodbad_pipeline.experiments.study import RANDOM_TRIALS, RESULT, STORAGE, SearchPlan, StudyStore, Trial, Values
from goodbad_pipeline.experiments.trial_spec import COMPLETE, TrialResult
from goodbad_pipeline.training.stopping import Stopped, StopRequest

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
else:
    optuna = lazy.load("optuna")
databases = lazy.load("goodbad_pipeline.databases")

logger = logging.getLogger(__name__)

POLL = 2.0  # seconds between two queries for the results of other processes
_NUMBER, _PROCESS = "number", "process"


class TrialTaken(Stopped):
    """Raised to end a trial that another process has taken over, because the heartbeat of this process had stopped."""


class SharedSearch:
    """The part of one process in a search that several processes run together.

    If a process dies, its trial is attempted again. Each attempt is an Optuna trial; later attempts store the number of
    the search's trial as user attribute ``number``. Trial 0 uses the configured values of the searched parameters.
    """

    def __init__(
        self,
        store: StudyStore,
        study: optuna.Study,
        plan: SearchPlan,
        space: Mapping[str, BaseDistribution],
        present: Values,
        stop: StopRequest,
    ) -> None:
        self._study, self._plan, self._space, self._present, self._stop = study, plan, dict(space), present, stop
        self._url, self._storage = store.url, store.storage
        self._awaited: list[str] = []
        self._study_id = self._storage.get_study_id_from_name(study.study_name)

    def run(self, total: int, train: Callable[[Trial], TrialResult]) -> None:
        """Train until all processes together have finished `total` trials. Wait for trials that are still running.

        `train` is called with each trial that this process trains; the result of the trial is then None. `train` is
        called once more with each finished trial of all processes, to record the result.

        Raises:
            Stopped: A stop was requested; another process takes over the trial.
            InputError: The database is unavailable.
        """
        recorded: set[int] = set()
        while True:
            self._stop.check(f"after {len(recorded)} of {total} trials, which are stored")
            for trial in self._finished(total):
                if trial.number not in recorded:
                    train(trial)
                    recorded.add(trial.number)
            if len(recorded) == total:
                return
            claimed = self._claim(total)
            if claimed is None:
                self._wait(total)
            else:
                self._train(*claimed, train)

    def should_prune(self, epoch: int, value: float) -> bool:
        """Record the metric of the running trial after an epoch (1, 2, …); return whether to prune the trial.

        Raises:
            TrialTaken: Another process has taken over the trial.
        """
        try:
            self._running.report(value, epoch - 1)
            return self._running.should_prune()
        except optuna.exceptions.UpdateFinishedTrialError:
            raise TrialTaken(STORAGE, "because another process has taken over the trial") from None
        except optuna.exceptions.StorageInternalError as error:
            logger.warning("%s: the database is unavailable, but the trial continues (%s)", STORAGE, error)
            return False

    def _claim(self, total: int) -> tuple[Trial, int] | None:
        """Start the next trial, failed trials first. Return the trial and Optuna's id, or None if no trial is left."""
        with self._database(), databases.exclusive(self._storage.engine), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Optuna: heartbeats are experimental
            self._fail_dead_attempts()
            trials = self._attempts()
            lost = next((number for number, attempts in enumerate(trials[:total]) if _are_lost(attempts)), None)
            if lost is not None:
                values = trials[lost][-1].params if lost else self._present
                self._study.enqueue_trial(dict(values), user_attrs={_NUMBER: lost})
                logger.info("Training trial %d again, because %s gave no result", lost, _process(trials[lost]))
            elif not trials:
                self._study.enqueue_trial(dict(self._present))
            elif len(trials) >= total and not any(_is_waiting(attempts) for attempts in trials[:total]):
                return None
            # Each attempt has a sampler with another seed; `constant_liar` keeps it away from the running trials.
            self._study.sampler = optuna.samplers.TPESampler(
                seed=self._plan.seed + sum(map(len, trials)), n_startup_trials=RANDOM_TRIALS, constant_liar=True
            )
            self._running = self._study.ask(self._space)
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, self._running.number)
            self._storage.record_heartbeat(trial_id)
            # Set last: `_fail_dead_attempts` takes an attempt without this attribute for an interrupted claim.
            self._running.set_user_attr(_PROCESS, f"{socket.gethostname()}-{os.getpid()}")
            return Trial(self._number(), {name: self._running.params[name] for name in self._space}), trial_id

    def _number(self) -> int:
        """Return the number of the running trial."""
        numbers = {attempt.number: n for n, attempts in enumerate(self._attempts()) for attempt in attempts}
        return numbers[self._running.number]

    def _fail_dead_attempts(self) -> None:
        """Mark an attempt as failed if its process has no heartbeat or died in `_claim`, which locks the study."""
        optuna.storages.fail_stale_trials(self._study)
        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if _PROCESS not in trial.user_attrs:
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def _train(self, trial: Trial, trial_id: int, train: Callable[[Trial], TrialResult]) -> None:
        try:
            with self._heartbeat(trial_id):
                result = train(trial)
            with self._database():
                self._report(result)
        except (TrialTaken, optuna.exceptions.UpdateFinishedTrialError):
            logger.warning("Another process has taken over trial %d; this process starts another trial", trial.number)
        except BaseException:
            with suppress(Exception):  # without the database, another process takes over the trial after a while
                self._study.tell(self._running, state=optuna.trial.TrialState.FAIL)
            raise

    def _report(self, result: TrialResult) -> None:
        self._running.set_user_attr(RESULT, result)
        if result[COMPLETE]:
            self._study.tell(self._running, result[self._plan.metric], skip_if_finished=True)
        else:
            self._study.tell(self._running, state=optuna.trial.TrialState.PRUNED, skip_if_finished=True)

    def _wait(self, total: int) -> None:
        others = [
            f"{number} ({_process(attempts)})"
            for number, attempts in enumerate(self._attempts()[:total])
            if _result(attempts) is None
        ]
        if others and others != self._awaited:
            logger.info("Waiting for trials of other processes: %s", ", ".join(others))
        self._awaited = others
        time.sleep(POLL)

    @contextmanager
    def _heartbeat(self, trial_id: int) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(studies.HEARTBEAT):
                try:
                    self._storage.record_heartbeat(trial_id)
                except Exception as error:  # the thread continues: the server may become available again
                    logger.warning("%s: the database is unavailable, but the trial continues (%s)", STORAGE, error)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _database(self) -> Any:
        return databases.named_errors(STORAGE, self._url)

    def _finished(self, total: int) -> Iterator[Trial]:
        with self._database():
            trials = self._attempts()[:total]
        for number, attempts in enumerate(trials):
            finished = _result(attempts)
            if finished is not None:
                values = {name: finished.params[name] for name in self._space}
                yield Trial(number, values, finished.user_attrs[RESULT], _process(attempts))

    def _attempts(self) -> list[list[FrozenTrial]]:
        """Return the attempts of each trial, ordered by the number of the trial."""
        trials: list[list[FrozenTrial]] = []
        for attempt in self._study.get_trials(deepcopy=False):
            number = attempt.user_attrs.get(_NUMBER)
            if number is None:
                trials.append([attempt])
            else:
                trials[number].append(attempt)
        return trials


def _result(attempts: list[FrozenTrial]) -> FrozenTrial | None:
    """Return the attempt that has a result, or None."""
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return next((attempt for attempt in attempts if attempt.state in states), None)


def _are_lost(attempts: list[FrozenTrial]) -> bool:
    return all(attempt.state == optuna.trial.TrialState.FAIL for attempt in attempts)


def _is_waiting(attempts: list[FrozenTrial]) -> bool:
    return any(attempt.state == optuna.trial.TrialState.WAITING for attempt in attempts)


def _process(attempts: list[FrozenTrial]) -> str:
    return str(attempts[-1].user_attrs.get(_PROCESS, "unknown process"))
