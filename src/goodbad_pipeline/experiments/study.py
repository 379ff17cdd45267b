"""Searches on record: an Optuna study each, in one sqlite file, found again by all that decides what they give.

A trial that was cut off is taken up under its own number with the values it had, and what is proposed next depends on
seed, number and the trials before it alone. So a search that was killed ends with the same trials as one that was not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodbad_pipeline.databases import name_databases
from goodbad_pipeline.experiments.trial_spec import TrialResult
from goodbad_pipeline.training.config_hash import Facts, fingerprint

if TYPE_CHECKING:  # it takes a second, and every run materialises the catalog
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import Trial

Values = Mapping[str, Any]
_FACTS, _OWNER, _RESULT = "facts", "owner", "result"
_RANDOM = 6  # trials before the sampler models what it has seen


@dataclass(frozen=True)
class SearchPlan:
    """How a search goes.

    Attributes:
        metric: The measure that trials are compared by.
        larger_is_better: Whether more of it is better.
        seed: Of what is proposed.
        pruning_startup: Trials before any is given up.
        pruning_warmup: Epochs before one is given up.
    """

    metric: str
    larger_is_better: bool
    seed: int
    pruning_startup: int
    pruning_warmup: int


@dataclass(frozen=True)
class Attempt:
    """A trial of a search.

    Attributes:
        number: 0, 1, …; 0 is what the parameters say.
        values: What it tries, by name; as Optuna proposed them.
        prune: From the epoch (1, 2, …) and the metric there to whether to give up.
    """

    number: int
    values: Values
    prune: Callable[[int, float], bool]


class Search:
    """One search.

    Args:
        study: Optuna's record of it.
        plan: How it goes.
        space: What is tried: a distribution by name.
        present: What the parameters say; trial 0.
    """

    def __init__(self, study: "Study", plan: SearchPlan, space: "Mapping[str, BaseDistribution]", present: Values):
        self._study, self._plan, self._space = study, plan, dict(space)
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(dict(present))

    def done(self) -> Iterator[tuple[Attempt, TrialResult]]:
        """The trials that are over, in their order, with what they gave."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                values = {name: trial.params[name] for name in self._space}
                yield Attempt(trial.number, values, _never), trial.user_attrs[_RESULT]

    def next(self) -> Attempt:
        """Take up the trial that was cut off, or propose another."""
        trial, values = self._cut_off() or self._study.ask(), {}
        self._study.sampler = _sampler(self._plan.seed, trial.number)
        _ = trial.relative_params  # what is drawn together, from the seventh trial on, is drawn here
        for place, (name, distribution) in enumerate(self._space.items()):
            self._study.sampler = _sampler(self._plan.seed, trial.number, place)
            values[name] = trial._suggest(name, distribution)
        return Attempt(trial.number, values, self._judge(trial))

    def tell(self, number: int, result: TrialResult, *, complete: bool) -> None:
        """Record what a trial gave; one that is not complete was given up, or went wrong."""
        from optuna.trial import TrialState  # noqa: PLC0415

        trial = self._study.get_trials(deepcopy=False)[number]
        self._study._storage.set_trial_user_attr(trial._trial_id, _RESULT, result)
        if complete:
            self._study.tell(number, result[self._plan.metric])
        else:
            self._study.tell(number, state=TrialState.PRUNED)

    def _cut_off(self) -> "Trial | None":
        import optuna  # noqa: PLC0415

        running = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        return optuna.trial.Trial(self._study, running[0]._trial_id) if running else None

    def _judge(self, trial: "Trial") -> Callable[[int, float], bool]:
        known = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values  # from before a cut

        def prune(epoch: int, value: float) -> bool:
            if epoch - 1 not in known:
                trial.report(value, epoch - 1)
            return bool(trial.should_prune())

        return prune


class StudyStore:
    """All searches of a project.

    Args:
        path: The sqlite file; need not exist.
        owner: Gives the name of what a search belongs to, such as a tracked run, to note beside it.
    """

    def __init__(self, path: Path, owner: Callable[[], str | None] = lambda: None) -> None:
        self._path, self._owner = path, owner

    def open(self, facts: Facts, plan: SearchPlan) -> "Study":
        """Return the study of these facts, a new one if there is none; it belongs to the present owner from now on."""
        import optuna  # noqa: PLC0415

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=self._storage(),
            study_name=fingerprint(facts),
            direction="maximize" if plan.larger_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner(plan.pruning_startup, plan.pruning_warmup),
            load_if_exists=True,
        )
        study.set_user_attr(_FACTS, facts)
        study.set_user_attr(_OWNER, self._owner())
        return study

    def find_owner(self, facts: Facts) -> str | None:
        """Return what the newest search that agrees with these facts belongs to; None where there is none."""
        import optuna  # noqa: PLC0415

        if not self._path.exists():
            return None
        for study in reversed(optuna.get_all_study_summaries(self._storage(), include_best_trial=False)):
            known = study.user_attrs.get(_FACTS, {})
            if all(known.get(name) == value for name, value in facts.items()):
                return study.user_attrs.get(_OWNER)
        return None

    def _storage(self) -> "RDBStorage":
        import optuna  # noqa: PLC0415

        name_databases()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(f"sqlite:///{self._path}")


def _sampler(*place: int) -> Any:
    """A sampler that starts anew at each place (seed, trial, value): what it proposes hangs on the trials before alone.

    Neither who ran them matters, nor whether a kill came between two values: those on record draw no number again.
    """
    import optuna  # noqa: PLC0415

    state = int(np.random.SeedSequence(place).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=state, n_startup_trials=_RANDOM)


def _never(epoch: int, value: float) -> bool:
    return False
