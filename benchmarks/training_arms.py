"""Arms that train a network by the project's loop or by Keras's fit."""

from collections.abc import Callable

import keras
import numpy as np

from benchmarks.harness import Run
from goodbad_pipeline.networks import build_efficientnet
from goodbad_pipeline.training.batches import TrainingBatches
from goodbad_pipeline.training.loop import Loop, Phase, Rules
from goodbad_pipeline.training.optimizers import compile_model
from goodbad_pipeline.training.progress import Progress, ProgressReporter
from goodbad_pipeline.training.recipe import Augmentation, Recipe
from goodbad_pipeline.training.saving import Saver

RECIPE = Recipe(
    seed=0,
    batch_size=0,
    head_epochs=0,
    epochs=1,
    scratch_epochs=1,
    head_learning_rate=1e-3,
    learning_rate=1e-3,
    scratch_learning_rate=1e-3,
    warmup=0.1,
    weight_decay=0.01,
    label_smoothing=0.0,
    patience=1,
)
AUGMENTATION = Augmentation(rotation=30, translation=0.15, zoom=0.4, brightness=0.05)  # the project's defaults
SCHEDULE = {"steps": 1000, "epochs": 1}  # one schedule for both arms
Validate = Callable[[Callable[[], None]], dict[str, float]]


def images(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise, uint8 of shape (count, side, side, 3), and alternating classes 0 and 1."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8), np.arange(count) % 2


def one_hot(y_true: np.ndarray) -> np.ndarray:
    """Return targets, float32 of shape (n, 2)."""
    return np.eye(2, dtype=np.float32)[y_true]


def network(family: str, side: int, *, frozen: bool = False) -> keras.Model:
    """Build the project's network of φ = 0; ``frozen`` freezes batch statistics, as in fine-tuning."""
    model = build_efficientnet(phi=0, family=family, resolution=side, classes=2, seed=0)
    for layer in model.layers:
        if frozen and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def train_by_loop(
    model: keras.Model,
    pixels: np.ndarray,
    y_true: np.ndarray,
    *,
    batch_size: int,
    epochs: int = 1,
    validate: Validate = lambda _: {"val_loss": 0.0},
    saver: Saver | None = None,
    report: ProgressReporter | None = None,
    augmentation: Augmentation | None = None,
) -> Run:
    """Return epochs as in `kedro run --pipeline=train`, on pixels in memory."""
    rows = np.arange(len(pixels))
    batches = TrainingBatches(pixels, rows, one_hot(y_true), batch_size=batch_size, seed=0, augmentation=augmentation)
    compile_model(model, RECIPE, RECIPE.learning_rate, **SCHEDULE)
    phase = Phase("all layers", model, batches.__getitem__, batches.steps_per_epoch, epochs, validate)
    loop = Loop(Rules("val_loss", False, epochs, 1e9), saver or Saver(None, model), report or ProgressReporter())
    return lambda: loop.run(phase, Progress())


def train_by_fit(
    model: keras.Model,
    pixels: np.ndarray,
    y_true: np.ndarray,
    *,
    batch_size: int,
    epochs: int = 1,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> Run:
    """Return epochs of Keras's fit on tensors in memory, with the same optimizer and loss."""
    compile_model(model, RECIPE, RECIPE.learning_rate, **SCHEDULE)
    x, y = pixels.astype(np.float32), one_hot(y_true)
    return lambda: model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, validation_data=validation)
