"""Parameters of the search for parameters."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from goodbad_pipeline.params.base import Count, Group, Positive, Seed
from goodbad_pipeline.params.network import ModelParams
from goodbad_pipeline.params.training import AugmentationParams, TrainingParams

AUTO = "auto"
RATES = ("training.learning_rate", "training.scratch_learning_rate")  # of all layers: what the finder tells of
DROPOUT = "model.dropout"
_FIXED = {"preset", "seed", "auto_batch", "monitor", "keep_epoch", "loss_limit", "checkpoint"}
_FIXED |= {"require_gpu", "precision", "xla"}
_UNUSED = {  # by whether the network has learnt before
    True: {"training.scratch_learning_rate", "training.scratch_epochs", "training.batch_norm_momentum"},
    False: {"training.learning_rate", "training.head_learning_rate", "training.epochs", "training.head_epochs"},
}

Value = bool | int | float | str | None
"""What a parameter may be searched among."""


class RangeParams(Group):
    """Numbers between two; whole ones where both are whole."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 where log is true, got {self.low}")
        return self


Dimension = RangeParams | list[Value]
"""A range of numbers, or a list of values."""


class PruningParams(Group):
    """When a trial that looks hopeless is given up."""

    startup: Count
    warmup: Annotated[int, Field(ge=0)]


class FinderParams(Group):
    """The learning-rate range test."""

    steps: Annotated[int, Field(ge=3)]
    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class TuneParams(Group):
    """What is searched, how long, and by which measure of validation."""

    trials: Count
    metric: Literal["val_log_loss", "val_accuracy", "val_balanced_accuracy", "val_f1_macro", "val_roc_auc"]
    finalists: Count
    seeds: Count
    seed: Seed
    pruning: PruningParams
    lr_finder: FinderParams
    space: dict[str, RangeParams | list[Value] | Literal["auto"]]

    @field_validator("space", mode="before")
    @classmethod
    def _read_space(cls, raw: Any) -> Any:
        """Flatten the tree, whose shape is that of the parameter files, and check each value by its own rule."""
        if not isinstance(raw, dict):
            return raw
        space = {name: _dimension(name, value) for name, value in _leaves(raw, "") if value is not None}
        if not space:
            raise ValueError("nothing is searched; name a parameter at least")
        return space

    def used(self, *, pretrained: bool) -> dict[str, Any]:
        """The part of the space that such a network's training reads."""
        return {name: value for name, value in self.space.items() if name not in _UNUSED[pretrained]}


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


def _leaves(raw: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Dotted names and what is said of each: a mapping with ``low`` is a range, every other one a group."""
    found = []
    for key, value in raw.items():
        if isinstance(value, dict) and "low" not in value and "high" not in value:
            found += _leaves(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _dimension(name: str, raw: Any) -> Any:
    known = _rules()
    if name not in known:
        raise ValueError(f"{name} is nothing to search; there are {', '.join(known)}")
    if raw == AUTO:
        if name not in RATES:
            raise ValueError(f"{name}: auto is for {' and '.join(RATES)}")
        return AUTO
    if raw == []:
        raise ValueError(f"{name}: a list must hold a value at least")
    dimension: Dimension = raw if isinstance(raw, list | RangeParams) else _validated(name, RangeParams, raw)
    for value in dimension if isinstance(dimension, list) else (dimension.low, dimension.high):
        _validated(f"{name}: {value!r}", known[name], value)
    return dimension


def _validated(said: str, rule: Any, value: Any) -> Any:
    try:
        return TypeAdapter(rule).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(f".{part}" for part in problem["loc"] if part in RangeParams.model_fields)
        raise ValueError(f"{said}{place}: {problem['msg'].removeprefix('Value error, ')}") from None


def _rules() -> dict[str, Any]:
    """What may be searched, and the rule of each."""
    own = {f"training.{name}": rule for name, rule in _fields(TrainingParams).items() if name not in _FIXED}
    del own["training.augmentation"]
    nested = {f"training.augmentation.{name}": rule for name, rule in _fields(AugmentationParams).items()}
    return {**own, **nested, DROPOUT: _fields(ModelParams)["dropout"]}


def _fields(group: type[Group]) -> dict[str, Any]:
    return {
        name: Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        for name, info in group.model_fields.items()
    }
