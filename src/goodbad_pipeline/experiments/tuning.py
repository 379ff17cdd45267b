"""Trains under other parameters than the present ones, on train and validation alone, for the pipeline that tunes."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.experiments.search_space import read_value, used_dimensions, with_values
from goodbad_pipeline.experiments.study import Attempt, Search, SearchPlan, StudyStore
from goodbad_pipeline.experiments.trial_spec import TrialCache, TrialResult, TrialSpec
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.network_factory import build_untrained
from goodbad_pipeline.params import ImageParams, ModelParams, TrainingParams, TuneParams, decisive_parameters
from goodbad_pipeline.params.experiments import AUTO, DROPOUT, RangeParams, Value
from goodbad_pipeline.params.training import RATE_IMAGES
from goodbad_pipeline.training.config_hash import Facts, fingerprint, training_config
from goodbad_pipeline.training.devices import prepare_device
from goodbad_pipeline.training.progress import EpochCallback

if TYPE_CHECKING:  # they import Keras
    from goodbad_pipeline.training.train import LabelledPixels

logger = logging.getLogger(__name__)

PRESENT = "present parameters"
COMPLETE = "complete"
_DIGITS = 3  # of a number that is tried: what is pasted is what was trained
_DECIDING = ("space", "metric", "seed", "pruning", "lr_finder")
Values = dict[str, Value]
Prune = Callable[[int, float], bool]


def tuning_config(
    model: ModelParams, training: TrainingParams, images: ImageParams, tune: TuneParams, development: pd.DataFrame
) -> Facts:
    """All that decides what a search proposes and finds, as far as it is known before the network is chosen."""
    parameters = decisive_parameters(model, training, images)
    return training_config({**parameters, "tune": tune.model_dump(mode="json", include=set(_DECIDING))}, development)


@dataclass(frozen=True)
class TuningContext:
    """What all trainings of a search share.

    Attributes:
        development: Images of train and validation.
        network: What `choose_network` settled.
        model: What the weights start from.
        training: The present recipe.
        images: How images are decoded.
        registered: Name of the registered model that a version to grow from belongs to.
        pixel_cache: Decodes images once.
    """

    development: pd.DataFrame
    network: dict[str, Any]
    model: ModelParams
    training: TrainingParams
    images: ImageParams
    registered: str
    pixel_cache: PixelCache

    @property
    def pretrained(self) -> bool:
        """Whether the network has learnt before."""
        return bool(self.network["pretrained"])

    def read(self, name: str) -> Value:
        """Present value of a parameter."""
        return self.network["dropout"] if name == DROPOUT else read_value(name, self.training)

    def scan(self, tune: TuneParams) -> pd.DataFrame:
        """Make the range test; its rates are those of the parameters, for 256 images a step."""
        from goodbad_pipeline.experiments.lr_range_test import RateTest, scan_rates  # noqa: PLC0415 - imports Keras

        share, (train, validation) = self.training.batch_size / RATE_IMAGES, self._parts
        test = RateTest(tune.lr_finder.steps, tune.lr_finder.low * share, tune.lr_finder.high * share)
        recipe = self.training.recipe(jit_compile=self._jit_compile(self.training))
        model = self._build(self.training, {})
        curve = scan_rates(model, train, validation, recipe, test, pretrained=self.pretrained)
        return curve.assign(learning_rate=curve["learning_rate"] / share)

    def trial(self, name: str, number: int, values: Values, seed: int, more: Facts) -> TrialSpec:
        """State what a training under other values depends on."""
        tried = with_values(self.training, {**values, "training.seed": seed})
        network = {key: value for key, value in self.network.items() if key not in ("budget", "bound_by")}
        decides = {
            **training_config(decisive_parameters(self.model, tried, self.images), self.development),
            "network": {**network, "dropout": values.get(DROPOUT, self.network["dropout"])},
            "device": str(prepare_device(tried.precision, tried.xla, seed)),
            **more,
        }
        return TrialSpec(name, seed, {"network": network["network"], "trial": number, **values}, decides)

    def train(
        self, values: Values, seed: int, metric: str, prune: Prune = lambda *_: False
    ) -> Callable[[EpochCallback], TrialResult]:
        """Return the training under other values, still to be begun."""
        from goodbad_pipeline.experiments.objective import try_recipe  # noqa: PLC0415 - imports Keras

        tried = with_values(self.training, {**values, "training.seed": seed})
        return lambda epoch_callback: try_recipe(
            lambda: self._build(tried, values),
            *self._parts,
            tried.recipe(jit_compile=self._jit_compile(tried)),
            pretrained=self.pretrained,
            metric=metric,
            prune=prune,
            epoch_callback=epoch_callback,
        )

    def _build(self, training: TrainingParams, values: Values) -> Any:
        network = {**self.network, "dropout": values.get(DROPOUT, self.network["dropout"])}
        return build_untrained(self.development, network, self.model, training, self.registered)

    def _jit_compile(self, training: TrainingParams) -> bool:
        return prepare_device(training.precision, training.xla, training.seed).jit_compile

    @cached_property
    def _parts(self) -> "tuple[LabelledPixels, LabelledPixels]":
        from goodbad_pipeline.experiments.data import development_data  # noqa: PLC0415 - imports Keras

        root, transform = Path(self.images.root), self.images.transform
        data = development_data(self.development, root, transform, self.pixel_cache, self.images.cache_gb)
        return data.at(self.network["resolution"])


def resolve_space(place: TuningContext, tune: TuneParams, rates: Mapping[str, float]) -> dict[str, RangeParams | list]:
    """The part of the space that this network's training reads, each dimension with the present value in it.

    Args:
        place: Network and present parameters.
        tune: The space as it was stated.
        rates: What the range test says: low and high.

    Raises:
        InputError: A range cannot hold the present value.
    """
    space: dict[str, RangeParams | list] = {}
    for name, stated in used_dimensions(tune, pretrained=place.pretrained).items():
        range_test = RangeParams(low=rates["low"], high=rates["high"], log=True)
        space[name] = _holding(name, range_test if stated == AUTO else stated, place.read(name))
    if not space:
        raise InputError(f"tune.space: this network's training reads nothing of {', '.join(tune.space)}")
    return space


def search_space(
    place: TuningContext, tune: TuneParams, rates: Mapping[str, float], store: StudyStore, record: TrialCache
) -> pd.DataFrame:
    """Run the search, or go on with one that was cut off.

    Returns:
        One row a trial: trial, network (a name to show), seed, values (JSON), fingerprint, and its measures.
    """
    space = resolve_space(place, tune, rates)
    present = {name: place.read(name) for name in space}
    facts = tuning_config(place.model, place.training, place.images, tune, place.development)
    plan = SearchPlan(tune.metric, larger_is_better(tune.metric), tune.seed, **_pruning(tune))
    search = Search(store.open(facts, plan), plan, {name: _distribution(one) for name, one in space.items()}, present)
    seed, rows = place.training.seed, list[dict[str, Any]]()

    def run(attempt: Attempt, known: TrialResult | None = None) -> TrialResult:
        proposed = {name: _tidy(space[name], attempt.values[name]) for name in space}
        values = proposed if attempt.number else present
        trial = place.trial(_name(attempt.number), attempt.number, values, seed, {"search": fingerprint(facts)})
        train = place.train(values, seed, tune.metric, attempt.prune) if known is None else _gives(known)
        result = record(trial, train)
        rows.append(_row(attempt.number, trial, values, result))
        said = f"{tune.metric} {result[tune.metric]:.4f}" if tune.metric in result else "nothing measured"
        logger.info("Trial %d of %d: %s, %s", len(rows), tune.trials, said, json.dumps(values))
        return result

    for attempt, known in islice(search.done(), tune.trials):
        run(attempt, known)
    while len(rows) < tune.trials:
        attempt = search.next()
        result = run(attempt)
        search.tell(attempt.number, result, complete=bool(result[COMPLETE]))
    return pd.DataFrame(rows)


def confirm(place: TuningContext, tune: TuneParams, trials: pd.DataFrame, record: TrialCache) -> pd.DataFrame:
    """Train the best of a search, and the present parameters, from other seeds than the one that chose them.

    Returns:
        Rows as those of the search, one for each finalist and seed that was trained to its end.

    Raises:
        InputError: No trial was trained to its end, in the search or from these seeds.
    """
    complete = trials[trials[COMPLETE] == 1]
    if complete.empty:
        raise InputError(f"tune: none of {len(trials)} trials was trained to its end; lower the rates of tune.space")
    best = complete.sort_values(tune.metric, ascending=not larger_is_better(tune.metric), kind="stable")
    chosen = pd.concat([complete[complete["trial"] == 0], best.head(tune.finalists)]).drop_duplicates("trial")
    rows: list[dict[Any, Any]] = []
    first = place.training.seed + 1
    for row in chosen.to_dict("records"):
        for seed in range(first, first + tune.seeds):
            values = json.loads(row["values"])
            trial = place.trial(row["network"], row["trial"], values, seed, {})
            result = record(trial, place.train(values, seed, tune.metric))
            rows.append(_row(row["trial"], trial, values, result))
    finals = [row for row in rows if row[COMPLETE] == 1]
    if not finals:
        raise InputError(f"tune: from {tune.seeds} other seeds none of {len(chosen)} finalists was trained to its end")
    return pd.DataFrame(finals)


def _gives(result: TrialResult) -> Callable[[EpochCallback], TrialResult]:
    return lambda epoch_callback: result


def _pruning(tune: TuneParams) -> dict[str, int]:
    return {f"pruning_{name}": value for name, value in tune.pruning.model_dump().items()}


def _name(number: int) -> str:
    return f"trial {number}" if number else PRESENT


def _row(number: int, trial: TrialSpec, values: Values, result: TrialResult) -> dict[str, Any]:
    known = {"trial": number, "network": trial.name, "seed": trial.seed, "values": json.dumps(values)}
    return {**known, "fingerprint": trial.fingerprint, **result}


def _holding(name: str, stated: RangeParams | list, present: Value) -> RangeParams | list:
    """The dimension, made wide enough for the present value."""
    if isinstance(stated, list):
        return stated if any(_same(present, value) for value in stated) else [present, *stated]
    if present is None or (stated.log and float(present) <= 0):
        raise InputError(f"tune.space: {name} is {json.dumps(present)}, which no such range holds; give a list")
    return RangeParams(low=min(stated.low, present), high=max(stated.high, present), log=stated.log)


def _same(one: Value, other: Value) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _distribution(dimension: RangeParams | list) -> Any:
    from optuna import distributions  # noqa: PLC0415 - it takes a second

    if isinstance(dimension, list):
        return distributions.CategoricalDistribution(dimension)
    low, high, log = dimension.low, dimension.high, dimension.log
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=log)
    return distributions.FloatDistribution(float(low), float(high), log=log)


def _tidy(dimension: RangeParams | list, value: Value) -> Value:
    """A number of few digits, within its range."""
    if isinstance(dimension, list) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), dimension.low), dimension.high)
