"""Train a network: the head on frozen features first, then all layers; or all layers from scratch."""

import logging
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.training.batches import TrainingBatches, predict
from goodbad_pipeline.training.listener import EpochListener
from goodbad_pipeline.training.progress import History
from goodbad_pipeline.training.recipe import Recipe, compile_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledPixels:
    """Pictures of one split.

    Attributes:
        pixels: uint8, shape (N, side, side, 3), RGB; may be memory-mapped and hold other splits too.
        rows: The split's pictures in ``pixels``, int64 of shape (n,).
        truth: Their class numbers, int64 of shape (n,).
        classes: Number of classes.
    """

    pixels: np.ndarray
    rows: np.ndarray
    truth: np.ndarray
    classes: int

    @property
    def targets(self) -> np.ndarray:
        """One-hot classes: float32, shape (n, classes)."""
        return np.eye(self.classes, dtype=np.float32)[self.truth]


def fit_model(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    *,
    pretrained: bool,
    listener: EpochListener | None = None,
) -> pd.DataFrame:
    """Train ``model`` in place; it ends with the weights of the best validation loss of the last phase.

    Pretrained: the classifier is fitted on features of the frozen network, which are computed once; then all layers
    learn, with batch statistics frozen (few pictures would spoil them). From scratch: all layers learn at once, batch
    statistics too.

    Args:
        model: Pixels (b, side, side, 3), 0–255, to class probabilities; with layers ``avg_pool`` and ``predictions``.
        train: What is learnt from.
        validation: What early stopping and the choice of weights go by.
        recipe: How.
        pretrained: Whether the weights come from earlier training.
        listener: Told of each epoch.

    Returns:
        One row an epoch, over all phases: epoch, phase, loss, accuracy, val_loss, val_accuracy, learning_rate, seconds.
    """
    history = History(listener)
    if not pretrained:
        peak = recipe.scratch_learning_rate
        _fit_all(model, train, validation, recipe, history, phase="scratch", epochs=recipe.scratch_epochs, peak=peak)
        return history.table()
    if recipe.head_epochs:
        _fit_head(model, train, validation, recipe, history)
    if recipe.epochs:
        _freeze_batch_statistics(model)
        peak = recipe.learning_rate
        _fit_all(model, train, validation, recipe, history, phase="all layers", epochs=recipe.epochs, peak=peak)
    return history.table()


def _fit_head(
    model: keras.Model, train: LabelledPixels, validation: LabelledPixels, recipe: Recipe, history: History
) -> None:
    """Fit the classifier on frozen features and put its weights into ``model``."""
    backbone = keras.Model(model.inputs, model.get_layer("avg_pool").output)
    logger.info("Computing frozen features of %d pictures once", len(train.rows) + len(validation.rows))
    features = predict(backbone, train.pixels, train.rows)
    validation_features = predict(backbone, validation.pixels, validation.rows)
    head = _head(model, features.shape[1:])
    steps = -(-len(features) // recipe.batch_size) * recipe.head_epochs
    compile_model(head, recipe, recipe.head_learning_rate, steps)
    history.begin_phase("head", recipe.head_epochs)
    head.fit(
        features,
        train.targets,
        batch_size=recipe.batch_size,
        validation_data=(validation_features, validation.targets),
        epochs=recipe.head_epochs,
        verbose=0,
        callbacks=[history, _stop_early(recipe)],
    )
    model.get_layer("predictions").set_weights(head.get_layer("predictions").get_weights())


def _head(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """What follows ``avg_pool``, as a model of its own from features (b, c), its classifier starting at zero.

    Features are large beside the usual random start: logits would begin far out, and the first epochs would only bring
    them back.
    """
    features = outputs = keras.Input(shape)
    names = [layer.name for layer in model.layers]
    for layer in model.layers[names.index("avg_pool") + 1 :]:
        outputs = type(layer).from_config(layer.get_config())(outputs)
    head = keras.Model(features, outputs)
    classifier = head.get_layer("predictions")
    classifier.set_weights([np.zeros_like(weight) for weight in classifier.get_weights()])
    return head


def _fit_all(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    history: History,
    *,
    phase: str,
    epochs: int,
    peak: float,
) -> None:
    batches = TrainingBatches(
        train.pixels,
        train.rows,
        train.targets,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augmentation=recipe.augmentation,
    )
    compile_model(model, recipe, peak, batches.steps_per_epoch * epochs)
    history.begin_phase(phase, epochs)
    model.fit(
        batches,
        steps_per_epoch=batches.steps_per_epoch,
        validation_data=(validation.pixels[validation.rows], validation.targets),
        validation_batch_size=64,
        epochs=epochs,
        verbose=0,
        callbacks=[history, _stop_early(recipe)],
    )


def _freeze_batch_statistics(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _stop_early(recipe: Recipe) -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, restore_best_weights=True, mode="min")
