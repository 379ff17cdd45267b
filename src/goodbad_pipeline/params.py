"""The parameter groups of conf/, typed: a wrong name or value ends the run before anything starts.

Each class is one top-level key of the parameters files; defaults live there, not here.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from goodbad_pipeline.efficientnet.architecture import layer_shape
from goodbad_pipeline.efficientnet.budget import Budget, Choice, Probe, Step, choose_phi
from goodbad_pipeline.efficientnet.grid import Candidate, list_candidates
from goodbad_pipeline.efficientnet.growth_source import (
    GrowthSource,
    check_growth,
    check_growth_source,
    parse_growth_source,
    source_shape,
)
from goodbad_pipeline.efficientnet.pretrained import IMAGENET, check_weights, check_weights_file
from goodbad_pipeline.efficientnet.scaling import MIN_RESOLUTION, Coefficients, NetworkScale, resolve_scale
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import ResizeMode, Transform
from goodbad_pipeline.images.reading import Limits
from goodbad_pipeline.images.sources import Layout
from goodbad_pipeline.images.splits import Division, SplitMethod
from goodbad_pipeline.promotion import Policy, Rules
from goodbad_pipeline.training.augmentation import Augmentation
from goodbad_pipeline.training.recipe import Recipe

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Byte = Annotated[int, Field(ge=0, le=255)]
RATE_PICTURES = 256  # pictures a step that learning rates are given for
WEIGHT_WORDS = ("auto", "none", "imagenet")
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Axis = Annotated[list[Annotated[float, Field(ge=1)]], Field(min_length=1)]


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


class ScanParams(Group):
    """Who reads the pictures, and what one of them may cost."""

    engine: Annotated[str, Field(min_length=1)]
    engine_options: dict[str, Any]
    workers: Count | None
    timeout: Positive
    memory: Annotated[int, Field(ge=16)]
    trust_timestamps: bool

    @property
    def limits(self) -> Limits:
        """What one file may cost."""
        return Limits(self.timeout, self.memory << 20)


class ImageParams(Group):
    """Where the pictures are, how they are laid out, and how one is decoded."""

    root: str
    layout: Layout
    manifest: str | None
    columns: ColumnParams
    corrections: str | None
    background: tuple[Byte, Byte, Byte]
    max_pixels: Count
    tiff: bool
    max_quarantined_fraction: Annotated[float, Field(ge=0, le=1)]
    resize: ResizeMode
    near_duplicate_bits: Annotated[int, Field(ge=-1, le=16)]
    cache_gb: Annotated[float, Field(ge=0)]
    scan: ScanParams

    def transform(self, resolution: int) -> Transform:
        """What a picture goes through before a network of this resolution."""
        return Transform(resolution, self.resize, self.background, self.max_pixels, self.tiff)


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

    method: SplitMethod
    seed: Seed
    fractions: FractionParams
    folds: Annotated[int, Field(ge=3)] | None
    fold: Annotated[int, Field(ge=0)]
    tolerance: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> Self:
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold counts from 0 and must be less than folds ({self.folds}), got {self.fold}")
        return self

    @property
    def division(self) -> Division:
        """The same for :func:`goodbad_pipeline.images.splits.split_labels`."""
        return Division(self.fractions.model_dump(), self.seed, self.method, self.folds, self.fold)


class CoefficientParams(Group):
    """α, β and γ of the compound scaling (paper, Equation 3)."""

    alpha: Annotated[float, Field(ge=1)]
    beta: Annotated[float, Field(ge=1)]
    gamma: Annotated[float, Field(ge=1)]

    @property
    def constants(self) -> Coefficients:
        """The three as one value."""
        return Coefficients(**self.model_dump())


class BudgetParams(Group):
    """What the network may cost; a limit that is left out is none."""

    max_macs: Positive | None = None
    max_parameters: Positive | None = None
    max_memory_gb: Positive | None = None
    max_ms_per_image: Positive | None = None
    batch_size: Count | None = None

    @property
    def limits(self) -> Budget:
        """The limits without the batch size."""
        return Budget(**self.model_dump(exclude={"batch_size"}))


class ModelParams(Group):
    """The network: family and φ, a published variant or a budget, and what its weights start from."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float | None
    variant: str | None
    budget: BudgetParams | None
    coefficients: CoefficientParams
    resolution: int | None
    weights: str | None
    grow_from: int | str | None
    dropout: Fraction | None

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        if self.budget is None:
            check_weights(self.weights_for(self.scale), self.scale)
        else:
            self._check_budget(self.budget)
        if self.growth_source is not None:
            self._check_growth(self.growth_source)
        return self

    def _check_budget(self, budget: BudgetParams) -> None:
        if self.phi is not None or self.variant is not None:
            raise InputError(
                "budget chooses phi itself: phi and variant must be null beside it; "
                f"received phi={self.phi!r}, variant={self.variant!r}."
            )
        if self.weights not in (None, *WEIGHT_WORDS):
            check_weights_file(Path(self.weights))
        # The least that any run could need: two classes, half precision, and no time at all.
        self.spend(Step(2, budget.batch_size or 1, "mixed_float16"), probe=lambda _: 0.0)

    def _check_growth(self, source: GrowthSource) -> None:
        if self.weights not in (None, "none", "auto"):
            raise InputError(
                f"weights must be auto or none beside grow_from, which brings its own; received {self.weights!r}."
            )
        family = self.family if self.budget else self.scale.family
        check_growth_source(source, family)
        shape = source_shape(source, family)
        if shape is not None and self.budget is None:  # of what a budget buys, choose_network asks the same
            check_growth(shape, layer_shape(self.scale))

    @property
    def scale(self) -> NetworkScale:
        """Depth, width and resolution that these parameters stand for; under a budget the run alone knows them."""
        return resolve_scale(
            phi=self.phi,
            variant=self.variant,
            family=self.family if self.variant is None else "efficientnet",  # a variant brings its own
            coefficients=self.coefficients.constants,
            resolution=self.resolution,
            dropout=self.dropout,
            quiet=True,  # parameters are read many times a run; CheckHooks warns once
        )

    @property
    def product(self) -> float:
        """α·β²·γ², the factor by which one step of φ multiplies the operations."""
        return self.coefficients.constants.product

    @property
    def label(self) -> str:
        """Family and size, to name a run by."""
        size = self.variant if self.phi is None else f"φ={self.phi:g}"
        return f"{self.family if self.budget else self.scale.family} {'budget' if self.budget else size}"

    def spend(self, step: Step, probe: Probe) -> Choice | None:
        """The largest network that the budget allows; None where there is no budget."""
        if self.budget is None:
            return None
        return choose_phi(
            self.budget.limits,
            family=self.family,
            coefficients=self.coefficients.constants,
            resolution=self.resolution,
            dropout=self.dropout,
            step=step,
            probe=probe,
        )

    @property
    def growth_source(self) -> GrowthSource | None:
        """The network that is made larger, or None."""
        return None if self.grow_from is None else parse_growth_source(self.grow_from)

    def weights_for(self, scale: NetworkScale) -> str | None:
        """What ``build_network`` takes as weights: None, ``imagenet`` or a path; ``auto`` is decided here."""
        if self.grow_from is not None:
            return None
        if self.weights == "auto":
            return IMAGENET if self.why_no_weights(scale) is None else None
        return None if self.weights in (None, "none") else self.weights

    def why_no_weights(self, scale: NetworkScale) -> str | None:
        """Why ``auto`` starts from scratch: what keeps ImageNet weights from being had; None where nothing does."""
        try:
            check_weights(IMAGENET, scale)
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
    rand_augment: Annotated[int, Field(ge=0, le=10)]
    rand_magnitude: Annotated[float, Field(ge=0, le=1)]
    erasing: Annotated[float, Field(ge=0, le=1)]
    mixup: Annotated[float, Field(ge=0)]
    cutmix: Annotated[float, Field(ge=0, le=1)]


class CheckpointParams(Group):
    """How a run is saved while it trains, and whether it goes on from there."""

    resume: bool
    minutes: Positive
    keep: Count


class TrainingParams(Group):
    """The recipe. What a preset decides is null in the file unless the user says otherwise."""

    preset: str
    seed: Seed
    batch_size: Count
    auto_batch: bool
    head_epochs: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=0)]
    scratch_epochs: Count
    head_learning_rate: Positive
    learning_rate: Positive
    scratch_learning_rate: Positive
    warmup: Fraction
    optimizer: Literal["adamw", "sgd", "rmsprop"]
    schedule: Literal["cosine", "exponential"]
    decay_rate: Annotated[float, Field(gt=0, le=1)]
    decay_epochs: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    ema: Annotated[float, Field(ge=0)]
    label_smoothing: Fraction
    class_weights: bool
    freeze_statistics: bool | None = None
    batch_norm_momentum: Annotated[float, Field(gt=0, lt=1)] | None = None
    patience: Count
    monitor: Literal["val_loss", "val_log_loss", "val_accuracy", "val_balanced_accuracy", "val_f1_macro", "val_roc_auc"]
    loss_limit: Positive
    augmentation: AugmentationParams
    checkpoint: CheckpointParams
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

    def statistics_momentum(self, pictures: int) -> float:
        """Momentum of moving batch statistics: as said, or such that they remember a quarter of an epoch.

        Statistics that lag behind the weights make validation of the first epochs meaningless; 0.99 remembers a hundred
        steps, which may be all there are.

        Args:
            pictures: How many there are to train on.
        """
        if self.batch_norm_momentum is not None:
            return self.batch_norm_momentum
        steps = max(1, -(-pictures // self.batch_size))
        return min(0.99, max(0.7, 1 - 4 / steps))

    def recipe(self, *, jit_compile: bool) -> Recipe:
        """What training takes: learning rates scaled from 256 pictures to the batch (arXiv 1706.02677)."""
        names = {field.name for field in fields(Recipe)} - {"augmentation", "jit_compile"}
        values = self.model_dump(include=names)
        share = self.batch_size / RATE_PICTURES
        rates = {name: values[name] * share for name in names if name.endswith("learning_rate")}
        return Recipe(
            **values | rates,
            augmentation=Augmentation(**self.augmentation.model_dump()),
            jit_compile=jit_compile,
        )


def decisive_parameters(model: ModelParams, training: TrainingParams, images: ImageParams) -> dict[str, Any]:
    """What of the parameters decides the weights a training ends with, as plain nested values.

    Left out are names of presets, whose values count, and what says how a run is saved or where it may run; pictures
    count by their content, not by their folder.
    """
    return {
        "model": model.model_dump(mode="json"),
        "training": training.model_dump(mode="json", exclude={"preset", "checkpoint", "require_gpu", "auto_batch"}),
        "images": images.model_dump(mode="json", include={"background", "max_pixels", "resize", "tiff"}),
    }


class EvaluationParams(Group):
    """How the model is read and measured."""

    seed: Seed
    replicates: Annotated[int, Field(ge=200, le=100_000)]
    choose_threshold: bool
    abstain_at_error: Fraction | None
    sensitive: list[str]


class RegistryParams(Group):
    """Where the model is registered and what decides its alias."""

    name: Annotated[str, Field(min_length=1)]
    metric: Literal["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]


class PredictParams(Group):
    """Which files a registered model is asked about."""

    source: str | None
    version: str | int
    sheet: Annotated[int, Field(ge=1, le=200)]
    seed: Seed


class ReplayParams(Group):
    """Which run is run again, and how near its metrics must come."""

    run_id: str | None
    tolerance: Annotated[float, Field(ge=0)]
    strict: bool


class PromotionParams(Group):
    """What a new model must meet to take the champion's place."""

    policy: Policy
    significance: Annotated[float, Field(gt=0, lt=1)]
    max_ece_rise: Fraction
    max_slice_drop: Fraction
    parity_tolerance: Positive

    @property
    def rules(self) -> Rules:
        """The same, as the decision takes it."""
        return Rules(**self.model_dump())


class ScaledBaseParams(Group):
    """The network that is made larger."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float
    resolution: Annotated[int, Field(ge=MIN_RESOLUTION)]

    @property
    def scale(self) -> NetworkScale:
        """Its depth, width and resolution."""
        return resolve_scale(phi=self.phi, family=self.family, resolution=self.resolution)


class TrialParams(Group):
    """Networks that are trained for the same few epochs from several seeds."""

    base: ScaledBaseParams
    seeds: Annotated[list[Seed], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Positive

    def recipe(self, recipe: Recipe) -> Recipe:
        """``recipe`` with the trials' own epochs, batch size and rate."""
        return replace(
            recipe,
            scratch_epochs=self.epochs,
            batch_size=self.batch_size,
            scratch_learning_rate=self.learning_rate,
            ema=0.0,  # the last weights are measured
        )

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        return self


class ScalingSearchParams(TrialParams):
    """The grid of α, β and γ (paper, section 3.3, step 1)."""

    alpha: Axis
    beta: Axis
    gamma: Axis
    tolerance: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _has_candidates(self) -> Self:
        _ = self.candidates
        return self

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The points of the grid whose product is near enough to 2."""
        return list_candidates(self.base.scale, self.alpha, self.beta, self.gamma, self.tolerance)


class ScalingStudyParams(TrialParams):
    """One dimension against all three at equal cost (paper, Figure 8)."""

    dimensions: Annotated[list[Literal["depth", "width", "resolution", "compound"]], Field(min_length=1)]
    multiples: Annotated[list[Annotated[float, Field(gt=1, le=64)]], Field(min_length=1)]


GROUPS: dict[str, type[Group]] = {
    "sample": SampleParams,
    "images": ImageParams,
    "splits": SplitParams,
    "model": ModelParams,
    "training": TrainingParams,
    "evaluation": EvaluationParams,
    "registry": RegistryParams,
    "predict": PredictParams,
    "replay": ReplayParams,
    "promotion": PromotionParams,
    "scaling_search": ScalingSearchParams,
    "scaling_study": ScalingStudyParams,
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
        annotation = model.model_fields[part].annotation
        model = next(kind for kind in (*get_args(annotation), annotation) if hasattr(kind, "model_fields"))
    return list(model.model_fields)


def _is_path(key: str, value: str) -> bool:
    return value.endswith(".keras") if key == "grow_from" else value not in WEIGHT_WORDS


PATHS = (
    ("images", "root"),
    ("images", "corrections"),
    ("sample", "root"),
    ("predict", "source"),
    ("model", "weights"),
    ("model", "grow_from"),
)


def anchor_paths(raw: dict[str, Any], project_path: Path) -> dict[str, Any]:
    """Make the folders and files that parameters name absolute: relative ones start at the project's root.

    Returns:
        A copy of ``raw``; whatever is not a text, or names no path (``model.weights: imagenet``), stays as it is.
    """
    anchored = dict(raw)
    for group, key in PATHS:
        values = raw.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, str) and _is_path(key, value):
            anchored[group] = {**anchored[group], key: str(project_path / Path(value).expanduser())}
    return anchored
