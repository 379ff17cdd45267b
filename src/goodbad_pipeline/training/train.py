"""Train a network: the classifier on frozen features first, then all layers; or all layers from scratch."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.training.batches import TrainingBatches, balanced_weights, predict
from goodbad_pipeline.training.devices import count_gpus
from goodbad_pipeline.training.distributed import SINGLE_PROCESS, DataParallel, Strategy
from goodbad_pipeline.training.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.loop import Loop, Phase, Rules, StepCallback
from goodbad_pipeline.training.optimizers import compile_model
from goodbad_pipeline.training.progress import EpochCallback, Progress, ProgressReporter
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.saving import Checkpointing, Saver
from goodbad_pipeline.training.stopping import StopRequest
from goodbad_pipeline.training.validation import measure

logger = logging.getLogger(__name__)

HEAD, ALL_LAYERS, SCRATCH = "head", "all layers", "scratch"  # names of the phases


def fit_model(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    *,
    pretrained: bool,
    compiled: bool = False,
    strategy: Strategy = SINGLE_PROCESS,
    stop: StopRequest | None = None,
    epoch_callback: EpochCallback | None = None,
    step_callback: StepCallback | None = None,
    checkpoints: Checkpointing | None = None,
) -> pd.DataFrame:
    """Train ``model`` in place; it ends with the weights of one epoch of the last phase, the best or the last one.

    Pretrained: the classifier is trained on features of the frozen network, which are computed once. Then all layers
    are trained, with frozen batch statistics unless the recipe states otherwise: few images would distort them. From
    scratch: all layers are trained from the start, with batch statistics.

    Args:
        model: Maps pixels (b, side, side, 3), 0–255, to class probabilities; has layers ``avg_pool`` and
            ``predictions``.
        train: Images to train on.
        validation: Images for early stopping and for the choice of the best epoch.
        recipe: Hyperparameters.
        pretrained: Whether the weights come from earlier training.
        compiled: Whether the model is compiled for this recipe already, by `compile_model`. Only for one process and a
            training from scratch: several such trainings of one model trace its graph once.
        strategy: How devices and processes share the training.
        stop: Checked after each step and during validation.
        epoch_callback: Called with the row of each epoch, also those before a resume.
        step_callback: Called with the metrics of each step.
        checkpoints: Where checkpoints are stored, and an interrupted training resumes from; None for no checkpoints.

    Returns:
        One row per epoch, over all phases; columns are :data:`HISTORY_COLUMNS`.

    Raises:
        Stopped: A stop was requested; a checkpoint is stored.
        TrainingDiverged: The loss or the weights are not finite, or the loss exploded.
        InputError: A checkpoint cannot be written, or processes train different networks.
    """
    saver, reporter, progress = Saver(checkpoints, model, strategy), ProgressReporter(epoch_callback), Progress()
    checkpoint = saver.resume()
    if checkpoint is not None:
        progress = Progress(**checkpoint.state["progress"])
        logger.info("Resuming after %d epochs and %d steps from %s", len(progress.rows), progress.step, checkpoint.path)
        for row in progress.rows:
            reporter.replay(row)
    loop = Loop(_rules(recipe, train), saver, reporter, strategy=strategy, stop=stop, step_callback=step_callback)
    phases = _phases(model, train, validation, recipe, strategy, pretrained=pretrained, compiled=compiled)
    for number, prepare in enumerate(phases):
        if number < progress.phase:
            continue
        if number > progress.phase:
            progress.enter(number)
            checkpoint = None
        with prepare() as phase:
            loop.run(phase, progress, None if checkpoint is None else checkpoint.arrays)
    return progress.table()


def last_phase(recipe: Recipe, *, pretrained: bool) -> str:
    """Return the name of the phase whose weights are kept."""
    if not pretrained:
        return SCRATCH
    return ALL_LAYERS if recipe.epochs else HEAD


def _rules(recipe: Recipe, train: LabelledPixels) -> Rules:
    limit = math.log(train.classes) + recipe.loss_limit
    heaviest = balanced_weights(train.targets).max() if recipe.class_weights else 1.0  # class weights scale the loss
    larger, limit = larger_is_better(recipe.monitor), limit * max(1.0, float(heaviest))
    return Rules(recipe.monitor, larger, recipe.patience, limit, keeps_last=recipe.keep_epoch == "last")


def _phases(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    strategy: Strategy,
    *,
    pretrained: bool,
    compiled: bool,
) -> Sequence[Callable[[], AbstractContextManager[Phase]]]:
    """Return the phases in order, not prepared yet: a resumed training needs no features of a phase that has ended."""
    data = (model, train, validation, recipe, strategy)
    if not pretrained:
        every = (SCRATCH, recipe.scratch_epochs, recipe.scratch_learning_rate)
    else:
        every = (ALL_LAYERS, recipe.epochs, recipe.learning_rate)
    head = [partial(_head_only, *data)] if pretrained and recipe.head_epochs else []
    all_layers = partial(_all_layers, *data, *every, pretrained=pretrained, compiled=compiled)
    return [*head, *([all_layers] if every[1] else [])]


@contextmanager
def _head_only(
    model: keras.Model, train: LabelledPixels, validation: LabelledPixels, recipe: Recipe, strategy: Strategy
) -> Iterator[Phase]:
    """Train the classifier on frozen features, then copy its weights to ``model``."""
    backbone = keras.Model(model.input, model.get_layer("avg_pool").output)
    logger.info("Computing frozen features of %d images once", len(train.rows) + len(validation.rows))
    validation = validation.shard(strategy.process_index, strategy.process_count)
    features = _features(backbone, train, recipe, strategy)
    validation = replace(
        validation,
        pixels=predict(backbone, validation.pixels, validation.rows),
        rows=np.arange(len(validation.rows)),
    )
    head = _head(model, features.shape[1:])
    batches = _batches(features, np.arange(len(features)), train.targets, recipe, strategy, augmented=False)
    steps, epochs = batches.steps_per_epoch, recipe.head_epochs
    with strategy.scope():
        replica = strategy.replicate(head)
        compile_model(replica, replace(recipe, ema=0.0), recipe.head_learning_rate, steps=steps, epochs=epochs)
    with strategy.training_scope():
        validate = _validator(head, replica, validation, recipe, strategy)
        yield Phase(HEAD, replica, batches.__getitem__, steps, epochs, validate)
    strategy.update(head, replica)
    model.get_layer("predictions").set_weights(head.get_layer("predictions").get_weights())


def _features(backbone: keras.Model, train: LabelledPixels, recipe: Recipe, strategy: Strategy) -> np.ndarray:
    """Return float32 features (n, c); the rows of other processes' shards stay 0 and are never read."""
    own = np.isin(np.arange(len(train.rows)) % recipe.data_shards, strategy.data_shards(recipe.data_shards))
    features = np.zeros((len(train.rows), int(backbone.output_shape[-1])), np.float32)
    features[own] = predict(backbone, train.pixels, train.rows[own])
    return features


def _head(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """Return the layers behind ``avg_pool`` as a model of features (b, c), with the same weights."""
    features = outputs = keras.Input(shape)
    names = [layer.name for layer in model.layers]
    for layer in model.layers[names.index("avg_pool") + 1 :]:
        outputs = type(layer).from_config(layer.get_config())(outputs)
    head = keras.Model(features, outputs)
    head.get_layer("predictions").set_weights(model.get_layer("predictions").get_weights())
    return head


@contextmanager
def _all_layers(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    strategy: Strategy,
    name: str,
    epochs: int,
    peak: float,
    *,
    pretrained: bool,
    compiled: bool,
) -> Iterator[Phase]:
    """Train all layers; frozen batch statistics keep batch normalisation as it is."""
    frozen = pretrained if recipe.freeze_statistics is None else recipe.freeze_statistics
    for layer in model.layers:
        if frozen and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    batches = _batches(train.pixels, train.rows, train.targets, recipe, strategy, augmented=True)
    steps = batches.steps_per_epoch
    with strategy.scope():
        replica = strategy.replicate(model)
        if not compiled:
            compile_model(replica, recipe, peak, steps=steps, epochs=epochs)
    with strategy.training_scope():
        validation = validation.shard(strategy.process_index, strategy.process_count)
        validate = _validator(model, replica, validation, recipe, strategy)
        yield Phase(name, replica, batches.__getitem__, steps, epochs, validate)
    strategy.update(model, replica)


def _validator(
    model: keras.Model, replica: keras.Model, validation: LabelledPixels, recipe: Recipe, strategy: Strategy
) -> Callable[[Callable[[], None]], dict[str, float]]:
    """Return the validation of a phase: each process predicts its shard, and all score all predictions."""

    def validate(check_stop: Callable[[], None]) -> dict[str, float]:
        strategy.update(model, replica)
        predictions = predict(model, validation.pixels, validation.rows, check_stop=check_stop)
        return measure(strategy.gather(predictions), strategy.gather(validation.y_true), recipe.label_smoothing)

    return validate


def _batches(
    pixels: np.ndarray,
    rows: np.ndarray,
    targets: np.ndarray,
    recipe: Recipe,
    strategy: Strategy,
    *,
    augmented: bool,
) -> TrainingBatches:
    return TrainingBatches(
        pixels,
        rows,
        targets,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augmentation=recipe.augmentation if augmented else None,
        class_weights=balanced_weights(targets) if recipe.class_weights else None,
        data_shards=recipe.data_shards,
        shards=strategy.data_shards(recipe.data_shards),
        on_device=augmented and _augments_on_device(recipe, strategy),
    )


def _augments_on_device(recipe: Recipe, strategy: Strategy) -> bool:
    """Return whether a GPU augments its batches: not if it gets a part of one, or Keras's layers change them."""
    alone = recipe.data_shards == 1 and not isinstance(strategy, DataParallel)
    return alone and not recipe.augmentation.by_layers and count_gpus() > 0
