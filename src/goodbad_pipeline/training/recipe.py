"""The recipe as plain values, and the small pieces that Keras needs to follow it."""

from dataclasses import dataclass, field

import keras

from goodbad_pipeline.training.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; each field is the parameter ``training.<name>``.

    Attributes:
        seed: Of shuffling, augmentation, dropout and new weights.
        batch_size: Pictures per step.
        head_epochs: Epochs of the classifier alone on frozen features; 0 to skip. Needs pretrained weights.
        epochs: Epochs of all layers after that.
        scratch_epochs: Epochs of all layers where no weights are given.
        head_learning_rate: Peak rate of the first phase.
        learning_rate: Peak rate of the second.
        scratch_learning_rate: Peak rate where no weights are given.
        warmup: Fraction of a phase's steps over which the rate rises from 0.
        weight_decay: AdamW's, on kernels only (not on biases and batch normalisation).
        label_smoothing: Share of each target that is spread over all classes, 0–1.
        patience: Epochs without a better validation loss after which a phase ends.
        augmentation: Random changes of the pictures.
        jit_compile: Whether XLA compiles the step.
    """

    seed: int
    batch_size: int
    head_epochs: int
    epochs: int
    scratch_epochs: int
    head_learning_rate: float
    learning_rate: float
    scratch_learning_rate: float
    warmup: float
    weight_decay: float
    label_smoothing: float
    patience: int
    augmentation: Augmentation = field(default_factory=Augmentation)
    jit_compile: bool = False


def cosine_schedule(peak: float, steps: int, warmup: float) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rise linearly to ``peak`` over the fraction ``warmup`` of ``steps``, then fall to 0 along half a cosine."""
    rising = max(1, round(steps * warmup))
    # float(): the schedule's own arithmetic mixes dtypes when steps are whole numbers
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=float(max(1, steps - rising)), warmup_target=peak, warmup_steps=float(rising)
    )


def compile_model(model: keras.Model, recipe: Recipe, peak: float, steps: int) -> None:
    """Compile for one phase: AdamW, cosine schedule with warm-up, smoothed cross-entropy."""
    optimizer = keras.optimizers.AdamW(cosine_schedule(peak, steps, recipe.warmup), weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], jit_compile=recipe.jit_compile)
