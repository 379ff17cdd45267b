"""Train a network: the head on frozen features first, then all layers; or all layers from scratch."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.training.batches import TrainingBatches, balanced_weights, predict
from goodbad_pipeline.training.devices import augments_on_device
from goodbad_pipeline.training.distributed import team
from goodbad_pipeline.training.loop import Loop, Phase, Rules
from goodbad_pipeline.training.optimizers import compile_model
from goodbad_pipeline.training.progress import EpochCallback, Progress, Report, Row
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.saving import Checkpointing, Saver
from goodbad_pipeline.training.validation import measure

logger = logging.getLogger(__name__)

HEAD, ALL_LAYERS, SCRATCH = "head", "all layers", "scratch"  # names of the phases


@dataclass(frozen=True)
class LabelledPixels:
    """Images of one split.

    Attributes:
        pixels: uint8, shape (N, side, side, 3), RGB; may be memory-mapped and hold other splits too.
        rows: The split's images in ``pixels``, int64 of shape (n,).
        y_true: Their class numbers, int64 of shape (n,).
        classes: Number of classes.
    """

    pixels: np.ndarray
    rows: np.ndarray
    y_true: np.ndarray
    classes: int

    @property
    def targets(self) -> np.ndarray:
        """One-hot classes: float32, shape (n, classes)."""
        return np.eye(self.classes, dtype=np.float32)[self.y_true]

    def share(self) -> "LabelledPixels":
        """Those of the images that this process looks after."""
        mine = slice(team().index, None, team().count)
        return replace(self, rows=self.rows[mine], y_true=self.y_true[mine])

    def renumbered(self) -> "LabelledPixels":
        """The same where ``pixels`` holds this split's images alone, in their order."""
        return replace(self, rows=np.arange(len(self.rows)))


def fit_model(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    *,
    pretrained: bool,
    epoch_callback: EpochCallback | None = None,
    checkpoints: Checkpointing | None = None,
    watch: Callable[[Row], None] | None = None,
) -> pd.DataFrame:
    """Train ``model`` in place; it ends with the weights of one epoch of the last phase, the best or the last one.

    Pretrained: the classifier is fitted on features of the frozen network, which are computed once; then all layers
    learn, with batch statistics frozen unless the recipe says otherwise (few images would spoil them). From scratch:
    all layers learn at once, batch statistics too.

    Args:
        model: Pixels (b, side, side, 3), 0–255, to class probabilities; with layers ``avg_pool`` and ``predictions``.
        train: What is learnt from.
        validation: What early stopping goes by, and the choice of weights where the recipe keeps the best ones.
        recipe: How.
        pretrained: Whether the weights come from earlier training.
        epoch_callback: Told of each epoch.
        checkpoints: Where the run is saved, and goes on from if it was interrupted; None for nowhere.
        watch: Shown each epoch's row; what it raises ends the training.

    Returns:
        One row an epoch, over all phases: epoch, phase, loss, accuracy, val_loss, val_accuracy, learning_rate, seconds,
        the other measures of validation, and whether its weights were kept.

    Raises:
        Stopped: Somebody asked for it.
        InputError: The loss or the weights are spoilt, or a checkpoint cannot be written.
    """
    saver, report, progress = Saver(checkpoints, model), Report(epoch_callback, watch), Progress()
    found = saver.resume()
    if found is not None:
        progress = Progress(**found.state["progress"])
        logger.info("Going on after %d epochs and %d steps, from %s", len(progress.rows), progress.step, found.path)
        for row in progress.rows:
            report.tell(row)
    loop = Loop(_rules(recipe, train), saver, report)
    for number, prepare in enumerate(_phases(model, train, validation, recipe, pretrained=pretrained)):
        if number < progress.phase:
            continue
        if number > progress.phase:
            progress.enter(number)
            found = None
        with prepare() as phase:
            loop.run(phase, progress, None if found is None else found.arrays)
    return progress.table()


def _rules(recipe: Recipe, train: LabelledPixels) -> Rules:
    limit = math.log(train.classes) + recipe.loss_limit
    heaviest = balanced_weights(train.targets).max() if recipe.class_weights else 1.0  # it multiplies what a step loses
    larger, limit = larger_is_better(recipe.monitor), limit * max(1.0, float(heaviest))
    return Rules(recipe.monitor, larger, recipe.patience, limit, keeps_last=recipe.keep_epoch == "last")


def _phases(
    model: keras.Model, train: LabelledPixels, validation: LabelledPixels, recipe: Recipe, *, pretrained: bool
) -> Sequence[Callable[[], AbstractContextManager[Phase]]]:
    """The phases in their order, each still to be prepared: one that is over needs no features."""
    data = (model, train, validation, recipe)
    if not pretrained:
        every = (SCRATCH, recipe.scratch_epochs, recipe.scratch_learning_rate)
    else:
        every = (ALL_LAYERS, recipe.epochs, recipe.learning_rate)
    head = [partial(_head_alone, *data)] if pretrained and recipe.head_epochs else []
    return [*head, *([partial(all_layers, *data, *every, pretrained=pretrained)] if every[1] else [])]


def last_phase(recipe: Recipe, *, pretrained: bool) -> str:
    """Name of the phase of which an epoch is kept."""
    if not pretrained:
        return SCRATCH
    return ALL_LAYERS if recipe.epochs else HEAD


@contextmanager
def _head_alone(
    model: keras.Model, train: LabelledPixels, validation: LabelledPixels, recipe: Recipe
) -> Iterator[Phase]:
    """Fit the classifier on frozen features; afterwards its weights are in ``model``."""
    backbone = keras.Model(model.input, model.get_layer("avg_pool").output)
    logger.info("Computing frozen features of %d images once", len(train.rows) + len(validation.rows))
    validation = validation.share()
    features = _features(backbone, train, recipe)
    seen = replace(validation, pixels=predict(backbone, validation.pixels, validation.rows)).renumbered()
    head = _head(model, features.shape[1:])
    batches = _batches(features, np.arange(len(features)), train.targets, recipe, augmented=False)
    steps, epochs = batches.steps_per_epoch, recipe.head_epochs
    with team().scope():
        trainee = team().trainee(head)
        compile_model(trainee, replace(recipe, ema=0.0), recipe.head_learning_rate, steps=steps, epochs=epochs)
    with team().running():
        yield Phase(HEAD, trainee, batches.__getitem__, steps, epochs, _validator(head, trainee, seen, recipe))
    team().update(head, trainee)
    model.get_layer("predictions").set_weights(head.get_layer("predictions").get_weights())


def _features(backbone: keras.Model, train: LabelledPixels, recipe: Recipe) -> np.ndarray:
    """Features of this process's shares of the images, float32 (n, c); those of others stay 0 and are never read."""
    mine = np.isin(np.arange(len(train.rows)) % recipe.shares, team().shares(recipe.shares))
    features = np.zeros((len(train.rows), int(backbone.output_shape[-1])), np.float32)
    features[mine] = predict(backbone, train.pixels, train.rows[mine])
    return features


def _validator(
    model: keras.Model, trainee: keras.Model, validation: LabelledPixels, recipe: Recipe
) -> Callable[[Callable[[], None]], dict[str, float]]:
    """Measure what is trained: every process asks about its own images, and all measure all answers."""

    def validate(look: Callable[[], None]) -> dict[str, float]:
        team().update(model, trainee)
        answers = team().gather(predict(model, validation.pixels, validation.rows, after_block=look))
        return measure(answers, team().gather(validation.y_true), recipe.label_smoothing)

    return validate


def _head(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """What follows ``avg_pool``, as a model of its own from features (b, c), with the same weights."""
    features = outputs = keras.Input(shape)
    names = [layer.name for layer in model.layers]
    for layer in model.layers[names.index("avg_pool") + 1 :]:
        outputs = type(layer).from_config(layer.get_config())(outputs)
    head = keras.Model(features, outputs)
    head.get_layer("predictions").set_weights(model.get_layer("predictions").get_weights())
    return head


@contextmanager
def all_layers(
    model: keras.Model,
    train: LabelledPixels,
    validation: LabelledPixels,
    recipe: Recipe,
    name: str,
    epochs: int,
    peak: float,
    *,
    pretrained: bool,
) -> Iterator[Phase]:
    """Fit all layers; with frozen statistics, batch normalisation stays as it is."""
    frozen = pretrained if recipe.freeze_statistics is None else recipe.freeze_statistics
    for layer in model.layers:
        if frozen and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    batches = _batches(train.pixels, train.rows, train.targets, recipe, augmented=True)
    steps = batches.steps_per_epoch
    with team().scope():
        trainee = team().trainee(model)
        compile_model(trainee, recipe, peak, steps=steps, epochs=epochs)
    with team().running():
        validate = _validator(model, trainee, validation.share(), recipe)
        yield Phase(name, trainee, batches.__getitem__, steps, epochs, validate)
    team().update(model, trainee)


def _fits_device(recipe: Recipe) -> bool:
    """Whether one device can make a batch alone: shares are put together, and Keras's layers work, on the host."""
    return recipe.shares == 1 and not recipe.augmentation.by_layers


def _batches(
    pixels: np.ndarray, rows: np.ndarray, targets: np.ndarray, recipe: Recipe, *, augmented: bool
) -> TrainingBatches:
    return TrainingBatches(
        pixels,
        rows,
        targets,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augmentation=recipe.augmentation if augmented else None,
        class_weights=balanced_weights(targets) if recipe.class_weights else None,
        shares=recipe.shares,
        mine=team().shares(recipe.shares),
        on_device=augmented and _fits_device(recipe) and augments_on_device(),
    )
