"""Parameters of the experiments: scaling search, scaling study and tuning."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from goodbad_pipeline.networks.scaling import MIN_RESOLUTION
from goodbad_pipeline.params.base import Count, Group, Positive, Seed
from goodbad_pipeline.params.training import AugmentationParams, ModelParams, TrainingParams

AUTO = "auto"
RATES = (
    "training.learning_rate",
    "training.scratch_learning_rate",
)  # rates that the learning-rate range test can choose
DROPOUT = "model.dropout"
_FIXED = {"preset", "seed", "auto_batch", "monitor", "keep_epoch", "loss_limit", "checkpoint"}
_FIXED |= {"require_gpu", "precision", "xla"}

Axis = Annotated[list[Annotated[float, Field(ge=1)]], Field(min_length=1)]
Value = bool | int | float | str | None
"""One value of a searched parameter."""


class ScaledBaseParams(Group):
    """The network that a scaling search or study enlarges."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float
    resolution: Annotated[int, Field(ge=MIN_RESOLUTION)]


class TrialParams(Group):
    """How an experiment trains its networks: all for the same few epochs, each with several seeds."""

    base: ScaledBaseParams
    seeds: Annotated[list[Seed], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Positive

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        return self


class ScalingSearchParams(TrialParams):
    """Parameters of the grid search for α, β and γ (EfficientNet paper, section 3.3, step 1)."""

    alpha: Axis
    beta: Axis
    gamma: Axis
    tolerance: Annotated[float, Field(ge=0, lt=1)]


class ScalingStudyParams(TrialParams):
    """Parameters of the study of scaling one dimension or all three, at equal cost (EfficientNet paper, Figure 8)."""

    dimensions: Annotated[list[Literal["depth", "width", "resolution", "compound"]], Field(min_length=1)]
    multiples: Annotated[list[Annotated[float, Field(gt=1, le=64)]], Field(min_length=1)]


class RangeParams(Group):
    """A range of numbers. If both ends are integers, the range contains only integers."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 with log=true, got {self.low}")
        return self


Dimension = RangeParams | list[Value]
"""The values of a searched parameter: a range or a list."""


class PruningParams(Group):
    """Settings that decide when a bad trial is stopped early."""

    startup: Count
    warmup: Annotated[int, Field(ge=0)]


class FinderParams(Group):
    """Settings of the learning-rate range test."""

    steps: Annotated[int, Field(ge=3)]
    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class TuneParams(Group):
    """Search space, metric and size of the search for training parameters."""

    trials: Count
    storage: str | None
    credentials: str | None
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
        """Replace nested names by dotted names, and check each value by the rule of its parameter."""
        if not isinstance(raw, dict):
            return raw
        space = {name: _dimension(name, value) for name, value in _leaves(raw, "") if value is not None}
        if not space:
            raise ValueError("no parameter is searched; add at least one")
        return space


def _leaves(raw: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Return values of nested mappings by dotted name. A range, a mapping with ``low`` or ``high``, is one value."""
    leaves = []
    for key, value in raw.items():
        if isinstance(value, dict) and "low" not in value and "high" not in value:
            leaves += _leaves(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


def _dimension(name: str, raw: Any) -> Any:
    known = _rules()
    if name not in known:
        raise ValueError(f"{name} cannot be searched; choose from {', '.join(known)}")
    if raw == AUTO:
        if name not in RATES:
            raise ValueError(f"{name}: only {' and '.join(RATES)} can be auto")
        return AUTO
    if raw == []:
        raise ValueError(f"{name}: the list must contain at least one value")
    dimension: Dimension = raw if isinstance(raw, list | RangeParams) else _validated(name, RangeParams, raw)
    for value in dimension if isinstance(dimension, list) else (dimension.low, dimension.high):
        _validated(f"{name}: {value!r}", known[name], value)
    return dimension


def _validated(label: str, rule: Any, value: Any) -> Any:
    try:
        return TypeAdapter(rule).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        location = "".join(f".{part}" for part in problem["loc"] if part in RangeParams.model_fields)
        raise ValueError(f"{label}{location}: {problem['msg'].removeprefix('Value error, ')}") from None


def _rules() -> dict[str, Any]:
    """Return the type and limits of each parameter that can be searched."""
    plain = {f"training.{name}": rule for name, rule in _fields(TrainingParams).items() if name not in _FIXED}
    del plain["training.augmentation"]
    nested = {f"training.augmentation.{name}": rule for name, rule in _fields(AugmentationParams).items()}
    return {**plain, **nested, DROPOUT: _fields(ModelParams)["dropout"]}


def _fields(group: type[Group]) -> dict[str, Any]:
    return {
        name: Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        for name, info in group.model_fields.items()
    }
