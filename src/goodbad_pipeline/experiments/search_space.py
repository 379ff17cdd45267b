"""The parameters that a hyperparameter search changes: selection, ranges, and functions to read and set values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import attrgetter, getitem
from typing import TYPE_CHECKING

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import TrainingParams, TuneParams
from goodbad_pipeline.params.experiments import DROPOUT, RATES, Dimension, RangeParams, Value

if TYPE_CHECKING:
    from optuna import distributions as optuna
else:
    optuna = lazy.load("optuna.distributions")

_DIGITS = 3  # significant digits to which a number is rounded before the training that uses it
_UNUSED = {  # parameters that have no effect if the network is pretrained (True) or not (False)
    True: {"training.scratch_learning_rate", "training.scratch_epochs", "training.batch_norm_momentum"},
    False: {"training.learning_rate", "training.head_learning_rate", "training.epochs", "training.head_epochs"},
}
Values = dict[str, Value]
Space = dict[str, Dimension]


def resolve_space(tune: TuneParams, present: Mapping[str, Value], rates: Mapping[str, float]) -> Space:
    """Return the range or list of each searched parameter, widened to include the configured value.

    A parameter with `auto` gets the range from `low` to `high` in `rates`, the result of the learning-rate range test.

    Raises:
        InputError: The configured value is null for a range, or not above 0 for a logarithmic range.
    """
    measured = RangeParams(low=rates["low"], high=rates["high"], log=True)
    return {
        name: _widen(name, measured if isinstance(dimension, str) else dimension, present[name])
        for name, dimension in tune.space.items()
        if name in present
    }


def searched_parameters(tune: TuneParams, *, pretrained: bool) -> list[str]:
    """Return the parameters of `tune.space` that apply to pretrained or random initial weights.

    Raises:
        InputError: None of the parameters applies.
    """
    names = [name for name in tune.space if name not in _UNUSED[pretrained]]
    if not names:
        weights, example = ("trained", RATES[0]) if pretrained else ("random", RATES[1])
        raise InputError(
            f"tune.space: training from {weights} weights uses none of {', '.join(tune.space)}; "
            f"add a parameter that this training uses, such as {example}"
        )
    return names


def read_value(name: str, training: TrainingParams) -> Value:
    """Return the configured value of the training parameter with this dotted name."""
    return attrgetter(name.removeprefix("training."))(training)


def with_values(training: TrainingParams, values: Values) -> TrainingParams:
    """Return the training parameters with ``values``, given by dotted name.

    ``model.dropout`` is ignored, because it is not a training parameter.
    """
    plain = training.model_dump()
    for name, value in values.items():
        if name == DROPOUT:
            continue
        *groups, leaf = name.split(".")[1:]
        reduce(getitem, groups, plain)[leaf] = value
    return TrainingParams.model_validate(plain)


def to_distribution(dimension: Dimension) -> optuna.BaseDistribution:
    """Convert the range or list of a parameter to an Optuna distribution. A range of two integers gives integers."""
    if isinstance(dimension, list):
        return optuna.CategoricalDistribution(dimension)
    low, high = dimension.low, dimension.high
    if isinstance(low, int) and isinstance(high, int):
        return optuna.IntDistribution(low, high, log=dimension.log)
    return optuna.FloatDistribution(float(low), float(high), log=dimension.log)


def round_values(space: Space, values: Mapping[str, Value]) -> Values:
    """Round proposed numbers to three significant digits, but never to a number outside the range in ``space``."""
    return {name: _round(dimension, values[name]) for name, dimension in space.items()}


def _round(dimension: Dimension, value: Value) -> Value:
    if isinstance(dimension, list) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), dimension.low), dimension.high)


def _widen(name: str, dimension: Dimension, present: Value) -> Dimension:
    if isinstance(dimension, list):
        equal = [
            value for value in dimension if value == present and isinstance(value, bool) == isinstance(present, bool)
        ]
        return dimension if equal else [present, *dimension]
    if present is None or (dimension.log and float(present) <= 0):
        raise InputError(
            f"tune.space: {name} is set to {present}, which a {'logarithmic ' if dimension.log else ''}range cannot "
            "contain; give a list of values instead of the range"
        )
    return RangeParams(low=min(dimension.low, present), high=max(dimension.high, present), log=dimension.log)
