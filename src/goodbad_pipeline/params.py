"""The parameter groups of conf/, typed: a wrong name or value ends the run before anything starts.

Each class is one top-level key of the parameters files; defaults live there, not here.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from goodbad_pipeline.efficientnet.pretrained import IMAGENET, check_weights
from goodbad_pipeline.efficientnet.scaling import Coefficients, NetworkScale, resolve_scale
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import ResizeMode
from goodbad_pipeline.images.sources import Layout

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Byte = Annotated[int, Field(ge=0, le=255)]
WEIGHT_WORDS = ("auto", "none", "imagenet")
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Group(BaseModel):
    """A parameter group: every key must be known."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class SampleParams(Group):
    """Where the sample pictures are drawn, and from which seed."""

    root: str
    seed: Seed


class ColumnParams(Group):
    """The manifest's column names; see :class:`goodbad_pipeline.images.sources.Columns`."""

    path: str
    label: str
    group: str | None
    split: str | None


class ImageParams(Group):
    """Where the pictures are, how they are laid out, and how one is decoded."""

    root: str
    layout: Layout
    manifest: str | None
    columns: ColumnParams
    background: tuple[Byte, Byte, Byte]
    max_pixels: Count
    resize: ResizeMode
    near_duplicate_bits: Annotated[int, Field(ge=-1, le=16)]


class FractionParams(Group):
    """Share of the pictures in each split; they sum to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    validation: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, got {total:g}")
        return self


class SplitParams(Group):
    """How the pictures are divided."""

    seed: Seed
    fractions: FractionParams


class CoefficientParams(Group):
    """α, β and γ of the compound scaling (paper, Equation 3)."""

    alpha: Annotated[float, Field(ge=1)]
    beta: Annotated[float, Field(ge=1)]
    gamma: Annotated[float, Field(ge=1)]


class ModelParams(Group):
    """The network: family and φ, or a published variant, and what its weights start from."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float | None
    variant: str | None
    coefficients: CoefficientParams
    resolution: int | None
    weights: str | None
    dropout: Fraction | None

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        check_weights(self.weights_source, self.scale)
        return self

    @property
    def scale(self) -> NetworkScale:
        """Depth, width and resolution that these parameters stand for."""
        return resolve_scale(
            phi=self.phi,
            variant=self.variant,
            family=self.family if self.variant is None else "efficientnet",  # a variant brings its own
            coefficients=Coefficients(**self.coefficients.model_dump()),
            resolution=self.resolution,
            dropout=self.dropout,
        )

    @property
    def weights_source(self) -> str | None:
        """What ``build_network`` takes as weights: None, ``imagenet`` or a path; ``auto`` is decided here."""
        if self.weights == "auto":
            return IMAGENET if self.why_no_weights is None else None
        return None if self.weights in (None, "none") else self.weights

    @property
    def why_no_weights(self) -> str | None:
        """Why ``auto`` starts from scratch: what keeps ImageNet weights from being had; None where nothing does."""
        try:
            check_weights(IMAGENET, self.scale)
        except InputError as reason:
            return str(reason)
        return None


class AugmentationParams(Group):
    """Random changes of training pictures; 0 or false switches one off."""

    flip: bool
    rotation: Annotated[float, Field(ge=0, le=180)]
    translation: Fraction
    zoom: Fraction
    brightness: Fraction
    contrast: Fraction


class TrainingParams(Group):
    """The recipe. What a preset decides is null in the file unless the user says otherwise."""

    preset: str
    seed: Seed
    batch_size: Count
    head_epochs: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=0)]
    scratch_epochs: Count
    head_learning_rate: Positive
    learning_rate: Positive
    scratch_learning_rate: Positive
    warmup: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Fraction
    batch_norm_momentum: Annotated[float, Field(gt=0, lt=1)]
    patience: Count
    augmentation: AugmentationParams
    require_gpu: bool
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
    xla: Literal["auto", "on", "off"]

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, raw: Any) -> Any:
        """Fill what is null from ``presets[preset]``; epochs said outright hold for training from scratch too."""
        if not isinstance(raw, dict) or "presets" not in raw:
            return raw
        presets = raw["presets"]
        if raw.get("preset") not in presets:
            raise ValueError(f"preset must be one of {', '.join(presets)}, got {raw.get('preset')!r}")
        said = {key: value for key, value in raw.items() if key != "presets" and value is not None}
        if "epochs" in said:
            said.setdefault("scratch_epochs", max(1, int(said["epochs"])))
        return {**presets[raw["preset"]], **said}


class EvaluationParams(Group):
    """What the test metrics are measured against."""

    seed: Seed


class RegistryParams(Group):
    """Where the model is registered and what decides its alias."""

    name: Annotated[str, Field(min_length=1)]
    metric: Literal["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]


GROUPS: dict[str, type[Group]] = {
    "sample": SampleParams,
    "images": ImageParams,
    "splits": SplitParams,
    "model": ModelParams,
    "training": TrainingParams,
    "evaluation": EvaluationParams,
    "registry": RegistryParams,
}


def validate_parameters(raw: dict[str, Any]) -> dict[str, Group]:
    """Check every parameter of the project.

    Args:
        raw: All parameters as the configuration loader gives them, runtime parameters merged in.

    Returns:
        The typed groups by name.

    Raises:
        InputError: One line that names each parameter that is wrong, its rule and the value received.
    """
    unknown = sorted(set(raw) - set(GROUPS))
    if unknown:
        raise InputError(f"{unknown[0]}: unknown parameter group; known are {', '.join(GROUPS)}")
    typed, problems = {}, []
    for name, value in raw.items():
        try:
            typed[name] = GROUPS[name].model_validate(value)
        except ValidationError as error:
            problems += [_one_line(name, problem) for problem in error.errors()]
        except InputError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise InputError("; ".join(problems))
    return typed


def _one_line(group: str, problem: Any) -> str:
    name = ".".join([group, *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown parameter; known are {', '.join(_fields(group, problem['loc'][:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    simple = not isinstance(problem["input"], dict | BaseModel)
    return f"{name}: {message}" + (f", got {problem['input']!r}" if simple else "")


def _fields(group: str, location: tuple[Any, ...]) -> list[str]:
    model: Any = GROUPS[group]
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def anchor_paths(raw: dict[str, Any], project_path: Path) -> dict[str, Any]:
    """Make the folders and files that parameters name absolute: relative ones start at the project's root.

    Returns:
        A copy of ``raw``; whatever is not a text, or names no path (``model.weights: imagenet``), stays as it is.
    """
    anchored = dict(raw)
    for group, key in (("images", "root"), ("sample", "root"), ("model", "weights")):
        values = raw.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, str) and value not in WEIGHT_WORDS:
            anchored[group] = {**anchored[group], key: str(project_path / Path(value).expanduser())}
    return anchored
