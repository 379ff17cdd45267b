"""The hyperparameter search on train and validation images: learning-rate range test, trials, finalists."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError, counted
from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.experiments import search_space
from goodbad_pipeline.experiments.search_space import Values, with_values
from goodbad_pipeline.experiments.shared_search import SharedSearch
from goodbad_pipeline.experiments.study import Search, SearchPlan, StudyStore, Trial
from goodbad_pipeline.experiments.trial_spec import COMPLETE, DevelopmentData, TrialCache, TrialResult, TrialSpec
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.network_factory import build_untrained
from goodbad_pipeline.params import ImageParams, ModelParams, TrainingParams, TuneParams, decisive_parameters
from goodbad_pipeline.params.experiments import DROPOUT
from goodbad_pipeline.params.training import RATE_IMAGES
from goodbad_pipeline.training.config_hash import Config, config_hash, training_config
from goodbad_pipeline.training.progress import EpochCallback
from goodbad_pipeline.training.stopping import StopRequest

devices = lazy.load("goodbad_pipeline.training.devices")
lr_range_test = lazy.load("goodbad_pipeline.experiments.lr_range_test")
objective = lazy.load("goodbad_pipeline.experiments.objective")

logger = logging.getLogger(__name__)

PRESENT = "present parameters"
_DECISIVE = {"space", "metric", "seed", "pruning", "lr_finder"}


def tuning_config(
    model: ModelParams, training: TrainingParams, images: ImageParams, tune: TuneParams, development: pd.DataFrame
) -> Config:
    """Return the part of a search's config that is known before the network is chosen."""
    parameters = decisive_parameters(model, training, images)
    return training_config({**parameters, "tune": tune.model_dump(mode="json", include=_DECISIVE)}, development)


@dataclass(frozen=True)
class TuningContext:
    """Inputs that all trainings of a search share.

    `development` is the table of splits without the test images, and `network` is the output of `choose_network`.
    `registered` is the name of the registered model whose versions may provide the initial weights.
    """

    development: pd.DataFrame
    network: dict[str, Any]
    model: ModelParams
    training: TrainingParams
    images: ImageParams
    registered: str
    pixel_cache: PixelCache
    stop: StopRequest

    @property
    def pretrained(self) -> bool:
        """True if the network starts from trained weights."""
        return bool(self.network["pretrained"])

    def present(self, tune: TuneParams) -> Values:
        """Return the configured value of each searched parameter."""
        names = search_space.searched_parameters(tune, pretrained=self.pretrained)
        dropout = self.network["dropout"]
        return {name: dropout if name == DROPOUT else search_space.read_value(name, self.training) for name in names}

    def run_range_test(self, tune: TuneParams) -> pd.DataFrame:
        """Run the learning-rate range test; return its curve, with each rate scaled to a batch size of 256."""
        share, (train, validation) = self.training.batch_size / RATE_IMAGES, self._parts
        test = lr_range_test.RangeTest(tune.lr_finder.steps, tune.lr_finder.low * share, tune.lr_finder.high * share)
        recipe = self.training.recipe(jit_compile=self._jit_compile(self.training))
        model = self._build(self.training, self.network)
        curve = lr_range_test.run_range_test(
            model, train, validation, recipe, test, pretrained=self.pretrained, stop=self.stop
        )
        return curve.assign(learning_rate=curve["learning_rate"] / share)

    def spec(self, name: str, number: int, values: Values, seed: int, **extra: Any) -> TrialSpec:
        """Return the spec of a training with some parameters replaced by `values`; its config includes `extra`."""
        training, network = self._with(values, seed)
        config = {
            **training_config(decisive_parameters(self.model, training, self.images), self.development),
            "network": {key: value for key, value in network.items() if key not in ("budget", "bound_by")},
            "device": str(devices.prepare_device(training.precision, training.xla, seed)),
            **extra,
        }
        return TrialSpec(name, seed, {"network": network["network"], "trial": number, **values}, config)

    def train(
        self,
        values: Values,
        seed: int,
        metric: str,
        should_prune: Callable[[int, float], bool],
        epoch_callback: EpochCallback,
    ) -> TrialResult:
        """Train with some parameters replaced by `values`; return the metrics."""
        training, network = self._with(values, seed)
        return objective.train_trial(
            lambda: self._build(training, network),
            *self._parts,
            training.recipe(jit_compile=self._jit_compile(training)),
            pretrained=self.pretrained,
            metric=metric,
            should_prune=should_prune,
            stop=self.stop,
            epoch_callback=epoch_callback,
        )

    def _with(self, values: Values, seed: int) -> tuple[TrainingParams, dict[str, Any]]:
        network = {**self.network, "dropout": values.get(DROPOUT, self.network["dropout"])}
        return with_values(self.training, {**values, "training.seed": seed}), network

    def _build(self, training: TrainingParams, network: dict[str, Any]) -> Any:
        return build_untrained(self.development, network, self.model, training, self.registered)

    def _jit_compile(self, training: TrainingParams) -> bool:
        return devices.prepare_device(training.precision, training.xla, training.seed).jit_compile

    @cached_property
    def _parts(self) -> tuple[LabelledPixels, LabelledPixels]:
        root, transform = open_root(self.images.root), self.images.transform
        data = DevelopmentData(self.development, root, transform, self.pixel_cache, self.images.cache_gb)
        return data.at(self.network["resolution"])


def search_parameters(
    context: TuningContext, tune: TuneParams, rates: Mapping[str, float], store: StudyStore, cache: TrialCache
) -> pd.DataFrame:
    """Run or resume the search; return one row per trial: trial, network, seed, values (JSON), cache_key, metrics."""
    present = context.present(tune)
    config = tuning_config(context.model, context.training, context.images, tune, context.development)
    space, search = _open_search(store, config, tune, present, rates, context.stop)
    rows: dict[int, dict[str, Any]] = {}

    def run(trial: Trial) -> TrialResult:
        values = search_space.round_values(space, trial.values) if trial.number else present
        seed = context.training.seed
        name = f"trial {trial.number}" if trial.number else PRESENT
        spec = context.spec(name, trial.number, values, seed, search=config_hash(config))
        if trial.process is not None:
            spec = replace(spec, shown={**spec.shown, "process": trial.process})
        stored = trial.result
        train = partial(context.train, values, seed, tune.metric, search.should_prune)
        result = cache(spec, train if stored is None else lambda _: stored)
        if trial.number not in rows:
            score = f"{tune.metric} {result[tune.metric]:.4f}" if tune.metric in result else "no epoch finished"
            logger.info("Trial %d of %d: %s, %s", len(rows) + 1, tune.trials, score, json.dumps(values))
        rows[trial.number] = _row(trial.number, spec, values, stored or result)
        return result

    search.run(tune.trials, run)
    return pd.DataFrame([rows[number] for number in range(tune.trials)])


def _plan(tune: TuneParams) -> SearchPlan:
    return SearchPlan(tune.metric, tune.seed, tune.pruning.startup, tune.pruning.warmup)


def _open_search(
    store: StudyStore,
    config: Config,
    tune: TuneParams,
    present: Values,
    rates: Mapping[str, float],
    stop: StopRequest,
) -> tuple[search_space.Space, Search | SharedSearch]:
    """Return the search space and the search. Processes that search together use the rates of the first process."""
    plan = _plan(tune)
    store.log_join(config)
    study = store.open(config, plan)
    space = search_space.resolve_space(tune, present, store.agree(study, "rates", dict(rates)))
    distributions = {name: search_space.to_distribution(dimension) for name, dimension in space.items()}
    if store.url is None:
        return space, Search(study, plan, distributions, present)
    return space, SharedSearch(store, study, plan, distributions, present, stop)


def confirm_finalists(
    context: TuningContext, tune: TuneParams, trials: pd.DataFrame, store: StudyStore, cache: TrialCache
) -> pd.DataFrame:
    """Train again with the values of trial 0 and of the best trials, from seeds that the search did not use.

    The result has the columns of `search_parameters` and one row for each complete training.

    Raises:
        InputError: No trial of the search was complete, or no training from the new seeds was complete.
    """
    complete = trials[trials[COMPLETE] == 1]
    if complete.empty:
        raise InputError(
            f"tune: none of {len(trials)} trials was trained to its end; lower the learning rates in tune.space"
        )
    best = complete.sort_values(tune.metric, ascending=not larger_is_better(tune.metric), kind="stable")
    finalists = pd.concat([complete[complete["trial"] == 0], best.head(tune.finalists)]).drop_duplicates("trial")
    seeds = range(context.training.seed + 1, context.training.seed + 1 + tune.seeds)
    trainings = [(row, seed) for row in finalists.to_dict("records") for seed in seeds]
    rows: dict[int, dict[str, Any]] = {}

    def run(training: Trial) -> TrialResult:
        row, seed = trainings[training.number]
        values, stored = json.loads(row["values"]), training.result
        spec = context.spec(row["network"], row["trial"], values, seed)
        train = partial(context.train, values, seed, tune.metric, lambda *_: False)
        result = cache(spec, train if stored is None else lambda _: stored)
        rows[training.number] = _row(row["trial"], spec, values, stored or result)
        return result

    if store.url is None:
        for number in range(len(trainings)):
            run(Trial(number, {}))
    else:
        config = tuning_config(context.model, context.training, context.images, tune, context.development)
        config["finalists"] = [[row["trial"], row["values"], seed] for row, seed in trainings]
        plan = _plan(tune)
        SharedSearch(store, store.open(config, plan), plan, {}, {}, context.stop).run(len(trainings), run)
    finished = [rows[number] for number in range(len(trainings)) if rows[number][COMPLETE] == 1]
    if not finished:
        raise InputError(
            f"tune: no training of a finalist reached its end ({counted(len(finalists), 'finalist')}, each trained "
            f"again from {counted(tune.seeds, 'new seed')}); lower the learning rates in tune.space"
        )
    return pd.DataFrame(finished)


def _row(number: int, spec: TrialSpec, values: Values, result: TrialResult) -> dict[str, Any]:
    columns = {"trial": number, "network": spec.name, "seed": spec.seed, "values": json.dumps(values)}
    return {**columns, "cache_key": spec.cache_key, **result}
