"""The parameters that a search changes: which ones a network's training reads, their values, and how to set them."""

from typing import Any

from goodbad_pipeline.params import TrainingParams, TuneParams
from goodbad_pipeline.params.experiments import DROPOUT, Value

_UNUSED = {  # by whether the network has learnt before
    True: {"training.scratch_learning_rate", "training.scratch_epochs", "training.batch_norm_momentum"},
    False: {"training.learning_rate", "training.head_learning_rate", "training.epochs", "training.head_epochs"},
}


def used_dimensions(tune: TuneParams, *, pretrained: bool) -> dict[str, Any]:
    """Return the part of `tune.space` that training a pretrained, or a random, network reads."""
    return {name: value for name, value in tune.space.items() if name not in _UNUSED[pretrained]}


def read_value(name: str, training: TrainingParams) -> Value:
    """Return the present value of a parameter of training by its dotted name."""
    value: Any = training
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def with_values(training: TrainingParams, values: dict[str, Value]) -> TrainingParams:
    """Return the recipe with values changed by dotted name; ``model.dropout`` is not its own and left out."""
    plain = training.model_dump()
    for name, value in values.items():
        if name == DROPOUT:
            continue
        *groups, leaf = name.split(".")[1:]
        place = plain
        for group in groups:
            place = place[group]
        place[leaf] = value
    return TrainingParams.model_validate(plain)
