"""Parameters of the network and of its training."""

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from goodbad_pipeline.networks.scaling import Coefficients
from goodbad_pipeline.params.base import Count, Fraction, Group, Positive, Seed
from goodbad_pipeline.training.recipe import Augmentation, Recipe

WEIGHT_WORDS = ("auto", "none", "imagenet")
RATE_IMAGES = 256  # learning rates in the parameter files apply to batches of this size


class CoefficientParams(Group):
    """α, β and γ of compound scaling (EfficientNet paper, Equation 3)."""

    alpha: Annotated[float, Field(ge=1)]
    beta: Annotated[float, Field(ge=1)]
    gamma: Annotated[float, Field(ge=1)]

    @property
    def constants(self) -> Coefficients:
        """The coefficients in the form that the functions of `networks` take."""
        return Coefficients(**self.model_dump())


class BudgetParams(Group):
    """Limits on the cost of the network. None means no limit."""

    max_macs: Positive | None = None
    max_parameters: Positive | None = None
    max_memory_gb: Positive | None = None
    max_ms_per_image: Positive | None = None
    batch_size: Count | None = None


class ModelParams(Group):
    """The network and its initial weights. φ, a published variant or a budget determines the size of the network."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float | None
    variant: str | None
    budget: BudgetParams | None
    coefficients: CoefficientParams
    resolution: int | Literal["auto"] | None
    weights: str | None
    grow_from: int | str | None
    dropout: Fraction | None

    @model_validator(mode="after")
    def _sources_exclude_each_other(self) -> Self:
        if self.budget and (self.phi is not None or self.variant is not None):
            raise ValueError(
                "phi and variant must be null if budget is set, because the budget determines phi; "
                f"received phi={self.phi!r}, variant={self.variant!r}."
            )
        if self.grow_from is not None and self.weights not in (None, "none", "auto"):
            raise ValueError(
                "weights must be auto or none if grow_from is set, because the grown network provides the weights; "
                f"received {self.weights!r}."
            )
        if self.resolution == "auto" and (self.budget or self.grow_from is not None or self.weights in (None, "none")):
            raise ValueError(
                "resolution must be a number or null without pretrained weights, got 'auto'. To use auto, set weights "
                "to auto, imagenet or a file, and set budget and grow_from to null."
            )
        return self


class AugmentationParams(Group):
    """Ranges of random changes to training images. 0 or false disables a change."""

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
    """How often checkpoints are written, and whether an interrupted training is resumed."""

    resume: bool
    minutes: Positive
    keep: Count


class TrainingParams(Group):
    """How the network is trained. Parameters that are null in the file get their value from the preset."""

    preset: str
    seed: Seed
    batch_size: Count
    auto_batch: bool
    head: Literal["logistic", "epochs"] = "epochs"  # runs recorded without this parameter trained the head in epochs
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
    # Runs recorded without this parameter kept the fine-tuned weights.
    interpolation: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = 1.0
    freeze_statistics: bool | None = None
    batch_norm_momentum: Annotated[float, Field(gt=0, lt=1)] | None = None
    refit: bool = False
    patience: Count
    monitor: Literal["val_loss", "val_log_loss", "val_accuracy", "val_balanced_accuracy", "val_f1_macro", "val_roc_auc"]
    keep_epoch: Literal["last", "best"] = "best"  # runs recorded without this parameter kept the best epoch
    loss_limit: Positive
    augmentation: AugmentationParams
    checkpoint: CheckpointParams
    data_shards: Count
    distributed: bool
    require_gpu: bool
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
    xla: Literal["auto", "on", "off"]

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, raw: Any) -> Any:
        """Replace null values by values of the preset. A null `scratch_epochs` becomes `epochs`, if `epochs` is set."""
        if not isinstance(raw, dict) or "presets" not in raw:
            return raw
        presets = raw["presets"]
        if not isinstance(presets, dict) or not all(isinstance(preset, dict) for preset in presets.values()):
            raise ValueError(f"presets must map names of presets to their parameters, got {presets!r}")
        if raw.get("preset") not in list(presets):
            raise ValueError(f"preset must be one of {', '.join(presets)}, got {raw.get('preset')!r}")
        explicit = {key: value for key, value in raw.items() if key != "presets" and value is not None}
        if "epochs" in explicit:
            explicit.setdefault("scratch_epochs", _at_least_one(explicit["epochs"]))
        return {**presets[raw["preset"]], **explicit}

    @model_validator(mode="after")
    def _has_epochs(self) -> Self:
        if self.head_epochs == self.epochs == 0:
            raise ValueError("head_epochs and epochs must not both be 0, because nothing would be trained; got 0 and 0")
        return self

    def recipe(self, *, jit_compile: bool) -> Recipe:
        """Return the recipe; learning rates are multiplied by the batch size divided by 256 (arXiv 1706.02677)."""
        names = {field.name for field in fields(Recipe)} - {"augmentation", "jit_compile"}
        values = self.model_dump(include=names)
        scale = self.batch_size / RATE_IMAGES
        rates = {name: values[name] * scale for name in names if name.endswith("learning_rate")}
        return Recipe(
            **values | rates,
            augmentation=Augmentation(**self.augmentation.model_dump()),
            jit_compile=jit_compile,
        )


def _at_least_one(epochs: Any) -> Any:
    """Return ``epochs``, at least 1. An invalid value gives 1, because pydantic reports the invalid value later."""
    try:
        return max(1, int(epochs))
    except (TypeError, ValueError, OverflowError):
        return 1
