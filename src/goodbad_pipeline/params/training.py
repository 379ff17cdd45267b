"""Parameters of the recipe."""

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from goodbad_pipeline.params.base import Count, Fraction, Group, Positive, Seed
from goodbad_pipeline.training.recipe import Augmentation, Recipe

RATE_IMAGES = 256  # images a step that learning rates are given for


class AugmentationParams(Group):
    """Random changes of training images; 0 or false switches one off."""

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
    keep_epoch: Literal["last", "best"] = "best"  # what runs on record did that lack it
    loss_limit: Positive
    augmentation: AugmentationParams
    checkpoint: CheckpointParams
    shares: Count
    distributed: bool
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
        if not isinstance(presets, dict) or not all(isinstance(preset, dict) for preset in presets.values()):
            raise ValueError(f"presets must give names to parameters and their values, got {presets!r}")
        if raw.get("preset") not in list(presets):
            raise ValueError(f"preset must be one of {', '.join(presets)}, got {raw.get('preset')!r}")
        said = {key: value for key, value in raw.items() if key != "presets" and value is not None}
        if "epochs" in said:
            said.setdefault("scratch_epochs", _at_least_one(said["epochs"]))
        return {**presets[raw["preset"]], **said}

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if self.head_epochs == self.epochs == 0:
            raise ValueError("head_epochs and epochs must not both be 0, or nothing is trained; got 0 and 0")
        return self

    def statistics_momentum(self, images: int) -> float:
        """Momentum of moving batch statistics: as said, or such that they remember a quarter of an epoch.

        Statistics that lag behind the weights make validation of the first epochs meaningless; 0.99 remembers a hundred
        steps, which may be all there are.

        Args:
            images: How many there are to train on.
        """
        if self.batch_norm_momentum is not None:
            return self.batch_norm_momentum
        steps = max(1, -(-images // self.batch_size))
        return min(0.99, max(0.7, 1 - 4 / steps))

    def recipe(self, *, jit_compile: bool) -> Recipe:
        """What training takes: learning rates scaled from 256 images to the batch (arXiv 1706.02677)."""
        names = {field.name for field in fields(Recipe)} - {"augmentation", "jit_compile"}
        values = self.model_dump(include=names)
        share = self.batch_size / RATE_IMAGES
        rates = {name: values[name] * share for name in names if name.endswith("learning_rate")}
        return Recipe(
            **values | rates,
            augmentation=Augmentation(**self.augmentation.model_dump()),
            jit_compile=jit_compile,
        )


def _at_least_one(epochs: Any) -> Any:
    """As many, for training from scratch; what is no number is refused under its own name, `epochs`."""
    try:
        return max(1, int(epochs))
    except (TypeError, ValueError, OverflowError):
        return 1
