"""Train a network: if pretrained, first the classifier and then all layers; if from scratch, all layers at once."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import counted
from goodbad_pipeline.evaluation.metrics import larger_is_better, log_losses, validation_metrics
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.batches import TrainingBatches, balanced_weights, predict
from goodbad_pipeline.training.devices import count_gpus
from goodbad_pipeline.training.distributed import SINGLE_PROCESS, DataParallel, Strategy
from goodbad_pipeline.training.interpolation import FACTORS, UNKNOWN_SKILL, candidate_table, interpolate
from goodbad_pipeline.training.loop import Loop, Phase, Rules, StepCallback
from goodbad_pipeline.training.optimizers import compile_model
from goodbad_pipeline.training.progress import EpochCallback, Progress, ProgressReporter
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.saving import Checkpointing, Saver
from goodbad_pipeline.training.stopping import StopRequest

linear_head = lazy.load("goodbad_pipeline.training.linear_head")  # imports scikit-learn

logger = logging.getLogger(__name__)

HEAD, ALL_LAYERS, SCRATCH = "head", "all layers", "scratch"  # names of the phases


class Fitted(NamedTuple):
    """The tables that `fit_model` returns."""

    history: pd.DataFrame  # one row per epoch of all phases, with the columns :data:`HISTORY_COLUMNS`
    candidates: pd.DataFrame  # the result of `candidate_table`; empty if no weights were mixed


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
) -> Fitted:
    """Train ``model`` in place.

    A pretrained network has two phases. The first phase trains only the classifier, on features that are computed once.
    The second phase trains all layers. By default, batch statistics stay frozen, because few images would distort the
    statistics. Finally, the weights of both phases may be mixed (see `goodbad_pipeline.training.interpolation`).

    A network from scratch has one phase, which trains all layers and updates batch statistics. The validation images
    decide when a phase ends early, and which epoch is best. A phase ends with the weights of its best or last epoch.

    ``model`` maps pixels (b, side, side, 3), 0–255, to class probabilities, and has layers ``avg_pool`` and
    ``predictions``. ``compiled`` is True if `compile_model` has compiled the model for this recipe: several trainings
    of one model then build only one graph. This is allowed only on one device, for a network from scratch.
    ``stop`` is checked after each step and during validation. ``epoch_callback`` is also called for the epochs before a
    resume.

    Raises:
        Stopped: A stop was requested; a checkpoint is stored.
        TrainingDiverged: The loss or the weights are not finite, or the loss exploded.
        InputError: A checkpoint cannot be written, or the processes have different configs.
    """
    training = _Training(model, train, validation, recipe, strategy, pretrained, compiled)
    saver, reporter, progress = Saver(checkpoints, model, strategy), ProgressReporter(epoch_callback), Progress()
    stop, start = stop or StopRequest(), model.get_weights()
    checkpoint = saver.resume()
    if checkpoint is not None:
        progress = Progress(**checkpoint.state["progress"])
        done = f"{counted(len(progress.rows), 'epoch')} and {counted(progress.step, 'step')}"
        logger.info("Resuming after %s from %s", done, checkpoint.path)
        for row in progress.rows:
            reporter.replay(row)
    elif training.has_linear_head:
        saver.head = training.fit_linear_head(progress, reporter)
    loop = Loop(training.rules(), saver, reporter, strategy, stop, step_callback)
    for number, prepare in enumerate(training.phases()):
        if number < progress.phase:
            continue
        if number > progress.phase:
            progress.enter(number)
            checkpoint = None
        with prepare() as phase:
            loop.run(phase, progress, None if checkpoint is None else checkpoint.arrays)
        if phase.name == HEAD:
            saver.head = training.head_weights(UNKNOWN_SKILL)
    return Fitted(progress.table(), training.choose_weights(start, saver.head))


def last_phase(recipe: Recipe, *, pretrained: bool) -> str:
    """Return the name of the last phase."""
    if not pretrained:
        return SCRATCH
    return ALL_LAYERS if recipe.epochs else HEAD


@dataclass(frozen=True)
class _Training:
    """The arguments of `fit_model` that all phases of a training share."""

    model: keras.Model
    train: LabelledPixels
    validation: LabelledPixels
    recipe: Recipe
    strategy: Strategy
    pretrained: bool
    compiled: bool

    def rules(self) -> Rules:
        recipe, limit = self.recipe, math.log(self.train.classes) + self.recipe.loss_limit
        if recipe.class_weights:  # class weights multiply the loss
            limit *= max(1.0, float(balanced_weights(self.train.targets).max()))
        keeps_last = recipe.keep_epoch == "last"
        return Rules(recipe.monitor, larger_is_better(recipe.monitor), recipe.patience, limit, keeps_last=keeps_last)

    def phases(self) -> list[Callable[[], AbstractContextManager[Phase]]]:
        """Return a context manager for each phase, in order.

        Entering the context prepares the phase, so that a resumed training does not prepare phases that have ended.
        """
        if not self.pretrained:
            return [self._all_layers] if self.recipe.scratch_epochs else []
        head = [self._head_only] if self.recipe.head_epochs and not self.has_linear_head else []
        return [*head, *([self._all_layers] if self.recipe.epochs else [])]

    @property
    def has_linear_head(self) -> bool:
        """Whether the first phase trains the classifier as a logistic regression."""
        return self.pretrained and bool(self.recipe.head_epochs) and self.recipe.head == "logistic"

    def fit_linear_head(self, progress: Progress, reporter: ProgressReporter) -> list[np.ndarray]:
        """Fit the classifier by logistic regression, record the fit as one epoch, and return `head_weights`."""
        started = time.perf_counter()
        reporter.open_epoch(HEAD, 1, 0)
        logger.info(
            "Computing the features of %d images once, to train only the classifier on them",
            len(self.train.rows) + len(self.validation.rows),
        )
        # Rows that another process computes are 0 here, so the sum over all processes has every row.
        features = self.strategy.gather(self._features()[None]).sum(axis=0)
        train, validation = self.train, self._validation_shard()
        head = linear_head.fit_linear_head(
            features,
            train.y_true,
            train.groups,
            train.classes,
            self.recipe.seed,
            balanced_weights(train.targets) if self.recipe.class_weights else None,
        )
        # All processes use the classifier of the first one, because two machines may round differently.
        values = (head.kernel, head.bias, np.array(head.skill))
        kernel, bias, skill = (self.strategy.gather(value[None])[0] for value in values)
        self.model.get_layer("predictions").set_weights([kernel, bias])
        fitted = self._metrics(train.y_true, head.predict(features))
        outputs = predict(self._with_features, validation.pixels, validation.rows)
        held = head.predict(outputs[:, : features.shape[1]])
        metrics = self._metrics(self.strategy.gather(validation.y_true), self.strategy.gather(held))
        logger.info("Classifier trained by logistic regression on the features: %s", head.evidence)
        progress.add_step({name: fitted[f"val_{name}"] for name in ("loss", "accuracy")}, time.perf_counter() - started)
        row = progress.close_epoch(HEAD, 1, metrics)
        progress.enter(0)
        progress.kept = row["epoch"]
        reporter.close_epoch(HEAD, row)
        return self.head_weights(skill)

    def head_weights(self, skill: float) -> list[np.ndarray]:
        """Return the kernel and bias of the classifier, and ``skill`` (see `LinearHead`) as an array."""
        return [*self.model.get_layer("predictions").get_weights(), np.array(skill)]

    def choose_weights(self, start: list[np.ndarray], head: list[np.ndarray] | None) -> pd.DataFrame:
        """Set the weights of ``model`` to the chosen mixture of frozen and fine-tuned weights; return all candidates.

        ``start`` are the initial weights of the network. ``head`` is the result of `head_weights` after the first
        phase, or None if the classifier was not trained first.
        """
        factors = FACTORS if self.recipe.interpolation == "auto" else (self.recipe.interpolation,)
        if head is None or not self.recipe.epochs or factors == (1.0,):
            return candidate_table(np.zeros((0, 0)), np.zeros(0, np.int64), (), 0)
        tuned = self.model.get_weights()
        self.model.set_weights(start)
        self.model.get_layer("predictions").set_weights(head[:2])
        frozen, validation, predictions = self.model.get_weights(), self._validation_shard(), []
        for factor in factors:
            self.model.set_weights(interpolate(frozen, tuned, factor))
            predictions.append(self._predict(self.model, validation))
        y_true, groups = self.strategy.gather(validation.y_true), self.strategy.gather(validation.groups)
        losses = np.stack([log_losses(y_true, self.strategy.gather(values)) for values in predictions])
        table = candidate_table(losses, groups, factors, float(head[2]))
        chosen = table[table["chosen"]].iloc[0]
        self.model.set_weights(interpolate(frozen, tuned, chosen["factor"]))
        logger.info(
            "Chose the mixture of the frozen network (factor 0) and the fine-tuned network (factor 1) at factor %g",
            chosen["factor"],
        )
        return table

    @contextmanager
    def _head_only(self) -> Iterator[Phase]:
        """Train the classifier on frozen features, then copy its weights to ``model``."""
        logger.info(
            "Computing the features of %d images once, to train only the classifier on them",
            len(self.train.rows) + len(self.validation.rows),
        )
        features, validation = self._features(), self._validation_shard()
        outputs = predict(self._with_features, validation.pixels, validation.rows)[:, : features.shape[1]]
        validation = replace(validation, pixels=outputs, rows=np.arange(len(outputs)))
        head = _head(self.model, features.shape[1:])
        batches = self.batches(features, np.arange(len(features)), augmented=False)
        recipe = replace(self.recipe, ema=0.0)
        with self._phase(
            HEAD, head, batches, validation, recipe, recipe.head_learning_rate, recipe.head_epochs
        ) as phase:
            yield phase
        self.model.get_layer("predictions").set_weights(head.get_layer("predictions").get_weights())

    @cached_property
    def _with_features(self) -> keras.Model:
        """Return a model whose output is one array: the inputs of the classifier, then the class probabilities.

        The first phase needs the features, and the second phase needs the probabilities. One model for both phases
        saves the seconds in which TensorFlow would trace a second graph.
        """
        features = self.model.get_layer("avg_pool").output
        return keras.Model(self.model.input, keras.layers.Concatenate(dtype="float32")([features, self.model.output]))

    def _features(self) -> np.ndarray:
        """Return the features (n, c) of the training images. Rows of images that this process does not read are 0."""
        rows, shards = self.train.rows, self.recipe.data_shards
        own = np.isin(np.arange(len(rows)) % shards, self.strategy.data_shards(shards))
        features = np.zeros((len(rows), int(self.model.get_layer("avg_pool").output.shape[-1])), np.float32)
        features[own] = predict(self._with_features, self.train.pixels, rows[own])[:, : features.shape[1]]
        return features

    @contextmanager
    def _all_layers(self) -> Iterator[Phase]:
        """Train all layers, except batch normalisation layers if batch statistics are frozen."""
        recipe = self.recipe
        name, epochs, peak = (
            (ALL_LAYERS, recipe.epochs, recipe.learning_rate)
            if self.pretrained
            else (SCRATCH, recipe.scratch_epochs, recipe.scratch_learning_rate)
        )
        frozen = self.pretrained if recipe.freeze_statistics is None else recipe.freeze_statistics
        for layer in self.model.layers:
            if frozen and isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        batches = self.batches(self.train.pixels, self.train.rows, augmented=True)
        validation = self._validation_shard()
        if not self.compiled:
            logger.info("Compiling the train step; the first steps take longest")
        with self._phase(name, self.model, batches, validation, recipe, peak, epochs, compiled=self.compiled) as phase:
            yield phase

    @contextmanager
    def _phase(
        self,
        name: str,
        model: keras.Model,
        batches: TrainingBatches,
        validation: LabelledPixels,
        recipe: Recipe,
        peak: float,
        epochs: int,
        *,
        compiled: bool = False,
    ) -> Iterator[Phase]:
        """Train a replica of ``model``, then copy its values to ``model``."""
        steps = batches.steps_per_epoch
        with self.strategy.scope():
            replica = self.strategy.replicate(model)
            if not compiled:
                compile_model(replica, recipe, peak, steps=steps, epochs=epochs)
        with self.strategy.training_scope():
            validate = partial(self._validate, model, replica, validation)
            yield Phase(name, replica, batches.__getitem__, steps, epochs, validate)
        self.strategy.update(model, replica)

    def _validate(
        self, model: keras.Model, replica: keras.Model, validation: LabelledPixels, check_stop: Callable[[], None]
    ) -> dict[str, float]:
        """Predict the validation images of this process, and return the metrics over all processes."""
        self.strategy.update(model, replica)
        predictions = self._predict(model, validation, check_stop)
        return self._metrics(self.strategy.gather(validation.y_true), self.strategy.gather(predictions))

    def _predict(
        self, model: keras.Model, images: LabelledPixels, check_stop: Callable[[], None] = lambda: None
    ) -> np.ndarray:
        """Return the class probabilities of ``images``: shape (n, classes)."""
        shares_graph = self.pretrained and self.recipe.head_epochs and model is self.model
        predictor = self._with_features if shares_graph else model
        outputs = predict(predictor, images.pixels, images.rows, check_stop=check_stop)
        return outputs[:, -self.train.classes :]

    def _metrics(self, y_true: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        return validation_metrics(y_true, predictions, self.recipe.label_smoothing)

    def _validation_shard(self) -> LabelledPixels:
        return self.validation.shard(self.strategy.process_index, self.strategy.process_count)

    def batches(self, pixels: np.ndarray, rows: np.ndarray, *, augmented: bool) -> TrainingBatches:
        recipe, targets = self.recipe, self.train.targets
        return TrainingBatches(
            pixels,
            rows,
            targets,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            augmentation=recipe.augmentation if augmented else None,
            class_weights=balanced_weights(targets) if recipe.class_weights else None,
            data_shards=recipe.data_shards,
            shards=self.strategy.data_shards(recipe.data_shards),
            on_device=augmented and _augments_on_device(recipe, self.strategy),
        )


def _head(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """Return a copy of the layers after ``avg_pool``, as a model that maps features (b, c) to probabilities."""
    features = outputs = keras.Input(shape)
    names = [layer.name for layer in model.layers]
    for layer in model.layers[names.index("avg_pool") + 1 :]:
        outputs = type(layer).from_config(layer.get_config())(outputs)
    head = keras.Model(features, outputs)
    head.get_layer("predictions").set_weights(model.get_layer("predictions").get_weights())
    return head


def _augments_on_device(recipe: Recipe, strategy: Strategy) -> bool:
    """Return whether the GPU augments images: with one GPU, whole batches and no augmentation layers of Keras."""
    alone = recipe.data_shards == 1 and not isinstance(strategy, DataParallel)
    return alone and not recipe.augmentation.by_layers and count_gpus() > 0
