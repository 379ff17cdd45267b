"""The parameters that a hyperparameter search changes: which ones, in which ranges, and how to read and set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.experiments.study import choice, number_between
from goodbad_pipeline.params import TrainingParams, TuneParams
from goodbad_pipeline.params.experiments import DROPOUT, RangeParams, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DIGITS = 3  # significant digits of a proposed number: the pasted value is the one that was trained
_UNUSED = {  # by whether the network starts from trained weights
    True: {"training.scratch_learning_rate", "training.scratch_epochs", "training.batch_norm_momentum"},
    False: {"training.learning_rate", "training.head_learning_rate", "training.epochs", "training.head_epochs"},
}
Values = dict[str, Value]
Space = dict[str, RangeParams | list]


def resolve_space(tune: TuneParams, present: Mapping[str, Value], rates: Mapping[str, float]) -> Space:
    """Return the dimensions of these parameters, each wide enough for the present value.

    Args:
        tune: The space as configured.
        present: Present value of each searched parameter.
        rates: Result of the learning-rate range test: low and high.

    Raises:
        InputError: A range cannot contain the present value.
    """
    measured = RangeParams(low=rates["low"], high=rates["high"], log=True)
    space: Space = {}
    for name, value in present.items():
        dimension = tune.space[name]
        space[name] = _widen(name, measured if isinstance(dimension, str) else dimension, value)
    return space


def searched_parameters(tune: TuneParams, *, pretrained: bool) -> list[str]:
    """Return the parameters of `tune.space` that the training of a pretrained, or a random, network uses.

    Raises:
        InputError: There are none.
    """
    names = [name for name in tune.space if name not in _UNUSED[pretrained]]
    if not names:
        raise InputError(f"tune.space: the training of this network uses none of {', '.join(tune.space)}")
    return names


def read_value(name: str, training: TrainingParams) -> Value:
    """Return the present value of a parameter of training by its dotted name."""
    value: Any = training
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def with_values(training: TrainingParams, values: Values) -> TrainingParams:
    """Return the parameters with values changed by dotted name, except ``model.dropout``."""
    plain = training.model_dump()
    for name, value in values.items():
        if name == DROPOUT:
            continue
        *groups, leaf = name.split(".")[1:]
        branch = plain
        for group in groups:
            branch = branch[group]
        branch[leaf] = value
    return TrainingParams.model_validate(plain)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the space as Optuna's distributions."""
    return {
        name: choice(dimension)
        if isinstance(dimension, list)
        else number_between(dimension.low, dimension.high, log=dimension.log)
        for name, dimension in space.items()
    }


def round_values(space: Space, values: Mapping[str, Value]) -> Values:
    """Round proposed numbers to few digits, within their ranges."""
    return {name: _round(dimension, values[name]) for name, dimension in space.items()}


def _round(dimension: RangeParams | list, value: Value) -> Value:
    if isinstance(dimension, list) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), dimension.low), dimension.high)


def _widen(name: str, dimension: RangeParams | list, present: Value) -> RangeParams | list:
    if isinstance(dimension, list):
        return dimension if any(_equal(present, value) for value in dimension) else [present, *dimension]
    if present is None or (dimension.log and float(present) <= 0):
        raise InputError(f"tune.space: the range of {name} must contain the present value, got {present}; give a list")
    return RangeParams(low=min(dimension.low, present), high=max(dimension.high, present), log=dimension.log)


def _equal(one: Value, other: Value) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
