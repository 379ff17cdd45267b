"""Train several networks from several seeds under one short, equal budget, and measure each on validation.

Every network starts from scratch and gets the same epochs on the same images. None is stopped early and no epoch is
chosen by validation: the rate has fallen to 0 at the end, and the last weights are measured, once.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.experiments.data import DevelopmentData, development_data
from goodbad_pipeline.experiments.trial_spec import TrialCache, TrialResult, TrialSpec
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.network_factory import trial_base_scale
from goodbad_pipeline.networks.architecture import expand_blocks, head_filters, stem_filters
from goodbad_pipeline.networks.model import build_network
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.networks.weights import zero_classifier
from goodbad_pipeline.params import ImageParams, TrainingParams, TrialParams
from goodbad_pipeline.training.batches import TrainingBatches, balanced_weights, predict
from goodbad_pipeline.training.devices import prepare_device
from goodbad_pipeline.training.fused_ops import fused_training
from goodbad_pipeline.training.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.optimizers import compile_model
from goodbad_pipeline.training.progress import EpochCallback
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.stopping import StopRequest

logger = logging.getLogger(__name__)

TRIAL_MOMENTUM = 0.9
"""Momentum of batch statistics where training.batch_norm_momentum is null: remembers about ten steps."""
VERSION = 5  # raise it when the code below changes what a trial gives: stored results are then trained again
TRIAL_COLUMNS = ["network", "seed", "val_accuracy", "val_loss", "accuracy", "loss", "seconds", "cache_key"]
_UNUSED = (
    "head_epochs",
    "epochs",
    "head_learning_rate",
    "learning_rate",
    "patience",
    "monitor",
    "keep_epoch",
    "loss_limit",
    "freeze_statistics",
    "data_shards",
)


@dataclass(frozen=True)
class TrialNetwork:
    """A network to try.

    Attributes:
        name: To show; one a network.
        scale: The network.
        shown: What else is shown beside its results.
    """

    name: str
    scale: NetworkScale
    shown: Mapping[str, Any]


def build_untrained(scale: NetworkScale, *, classes: int, batch_norm_momentum: float, seed: int) -> keras.Model:
    """Build a network whose classifier starts at zero.

    Its usual random start is large beside a thousand features: the loss begins far out, and a few epochs would mostly
    bring it back.
    """
    model = build_network(scale, classes=classes, batch_norm_momentum=batch_norm_momentum, seed=seed)
    zero_classifier(model)
    return model


@dataclass(frozen=True)
class TrialSetup:
    """What all trials share.

    Attributes:
        recipe: How each is trained: `scratch_epochs` at `scratch_learning_rate`; its seed is replaced by the trial's.
        batch_norm_momentum: Of the moving batch statistics, above 0 and below 1.
        precision: Keras dtype policy in force.
        build: From scale, classes, batch_norm_momentum and seed to an untrained model of pixels 0–255 to probabilities.
    """

    recipe: Recipe
    batch_norm_momentum: float
    precision: str
    build: Callable[..., keras.Model] = build_untrained


def run_trials(
    networks: Sequence[TrialNetwork],
    seeds: Sequence[int],
    data: DevelopmentData,
    setup: TrialSetup,
    record: TrialCache,
    stop: StopRequest | None = None,
) -> pd.DataFrame:
    """Run, or take from the record, one trial for each network and seed.

    Returns:
        One row a trial, in the order given, columns as `TRIAL_COLUMNS`; fingerprints are equal for equal trials.

    Raises:
        Stopped: Somebody asked for it, between two trials or two steps of one.
    """
    rows: list[dict[str, Any]] = []
    stop = stop or StopRequest()
    for network in networks:
        trainer = _Trainer(network.scale, data, setup, stop)
        for seed in seeds:
            stop.check(f"after {len(rows)} of {len(networks) * len(seeds)} trials, which are kept")
            facts = trial_spec(network, seed, data, setup)
            result = record(facts, trainer.bind(seed))
            rows.append({"network": network.name, "seed": seed, **result, "cache_key": facts.cache_key})
            count = f"{len(rows)} of {len(networks) * len(seeds)}"
            logger.info("Trial %s: %s, seed %d: val_accuracy %.4f", count, network.name, seed, result["val_accuracy"])
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def read_networks(table: pd.DataFrame, base: NetworkScale) -> list[TrialNetwork]:
    """The networks of a table with columns network, depth, width, resolution, and others that are shown.

    Args:
        table: One row a network.
        base: What the table does not say: family and dropout.
    """
    networks = []
    for row in table.to_dict("records"):
        shown = {str(name): value for name, value in row.items() if name != "network"}
        depth, width, resolution = float(row["depth"]), float(row["width"]), int(row["resolution"])
        scale = replace(base, depth=depth, width=width, resolution=resolution, phi=None)
        networks.append(TrialNetwork(row["network"], scale, shown))
    return networks


def trial_spec(network: TrialNetwork, seed: int, data: DevelopmentData, setup: TrialSetup) -> TrialSpec:
    """State what a trial's results depend on; networks that round to the same layers share their results."""
    recipe = {name: value for name, value in asdict(setup.recipe).items() if name not in _UNUSED}
    decides = {
        "version": VERSION,
        "keras": f"{keras.__version__} {keras.backend.backend()}",
        "network": _layers(network.scale),
        "classes": data.classes,
        "data": data.config(network.scale.resolution),
        "recipe": {**recipe, "seed": seed},
        "batch_norm_momentum": setup.batch_norm_momentum,
        "precision": setup.precision,
    }
    return TrialSpec(network.name, seed, network.shown, decides)


def _layers(scale: NetworkScale) -> dict[str, Any]:
    """All that the network's graph depends on, after rounding."""
    return {
        "family": scale.family,
        "resolution": scale.resolution,
        "dropout": scale.dropout,
        "ends": [stem_filters(scale), head_filters(scale)],
        "blocks": [asdict(block) for block in expand_blocks(scale)],
    }


class _Trainer:
    """Trains one network again and again, each time from a fresh start; its graph, which takes long, is traced once."""

    def __init__(self, scale: NetworkScale, data: DevelopmentData, setup: TrialSetup, stop: StopRequest) -> None:
        self._scale, self._data, self._setup, self._stop = scale, data, setup, stop
        self._model: keras.Model | None = None
        self._untouched: list[np.ndarray] = []

    def bind(self, seed: int) -> Callable[[EpochCallback], TrialResult]:
        """Return the training from one seed, still to be begun."""
        return lambda epoch_callback: self._train(seed, epoch_callback)

    def _train(self, seed: int, epoch_callback: EpochCallback) -> TrialResult:
        started = time.perf_counter()
        train, validation = self._data.at(self._scale.resolution)
        recipe = replace(self._setup.recipe, seed=seed)
        batches = TrainingBatches(
            train.pixels,
            train.rows,
            train.targets,
            batch_size=recipe.batch_size,
            seed=seed,
            augmentation=recipe.augmentation,
            class_weights=balanced_weights(train.targets) if recipe.class_weights else None,
        )
        model = self._fresh_model(recipe, batches.steps_per_epoch)
        with fused_training(model):
            history = model.fit(
                batches,
                steps_per_epoch=batches.steps_per_epoch,
                epochs=recipe.scratch_epochs,
                verbose=0,
                callbacks=[
                    keras.callbacks.LambdaCallback(
                        on_train_batch_end=self._check_stop, on_epoch_end=_teller(epoch_callback)
                    )
                ],
            ).history
        last = {name: float(history[name][-1]) for name in ("loss", "accuracy")}
        return {**_measure(model, validation), **last, "seconds": time.perf_counter() - started}

    def _check_stop(self, step: int, logs: dict[str, float]) -> None:
        self._stop.check("within a trial, which begins anew; those before it are kept")

    def _fresh_model(self, recipe: Recipe, steps: int) -> keras.Model:
        """The network as it starts from the recipe's seed: built anew, or the values of a new one in the traced one."""
        start = self._setup.build(
            self._scale,
            classes=self._data.classes,
            batch_norm_momentum=self._setup.batch_norm_momentum,
            seed=recipe.seed,
        )
        if self._model is None:
            compile_model(start, recipe, recipe.scratch_learning_rate, steps=steps, epochs=recipe.scratch_epochs)
            start.optimizer.build(start.trainable_variables)
            self._untouched = [np.array(variable) for variable in start.optimizer.variables]
            self._model = start
            return start
        for ours, fresh in _pairs(self._model, start):
            ours.assign(fresh)
        for ours, value in zip(self._model.optimizer.variables, self._untouched, strict=True):
            ours.assign(value)
        return self._model


def _pairs(model: keras.Model, fresh: keras.Model) -> Iterator[tuple[Any, Any]]:
    """Variables of two equal networks, weights and the states of dropout, side by side."""
    return zip(model.variables, fresh.variables, strict=True)


def _teller(epoch_callback: EpochCallback) -> Callable[[int, dict[str, float]], None]:
    return lambda epoch, logs: epoch_callback({"epoch": epoch + 1, **logs})


def _measure(model: keras.Model, validation: LabelledPixels) -> TrialResult:
    """Accuracy, 0 to 1, and mean cross-entropy, without label smoothing."""
    probabilities = predict(model, validation.pixels, validation.rows)
    true_class_probability = probabilities[np.arange(len(validation.y_true)), validation.y_true]
    return {
        "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == validation.y_true)),
        "val_loss": float(-np.log(np.maximum(true_class_probability, keras.config.epsilon())).mean()),
    }


def train_networks(
    table: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    trials: TrialParams,
    pixel_cache: PixelCache,
    trial_cache: TrialCache,
    stop_request: StopRequest,
) -> pd.DataFrame:
    """Train every network of a table from every seed, and measure each on the validation split.

    Args:
        table: One row a network: network, depth, width, resolution, and what else is shown beside its trials.
        splits: The images; those of test are left alone.
        images: How images are decoded.
        training: How networks are trained, but for what `trials` says.
        trials: Base, seeds, epochs, batch size and rate.
        pixel_cache: Decodes images once for each resolution.
        trial_cache: Keeps what is done.
        stop_request: Checked after each step.

    Returns:
        One row a trial.
    """
    device = prepare_device(training.precision, training.xla, training.seed)
    recipe = trials.recipe(training.recipe(jit_compile=device.jit_compile))
    return run_trials(
        read_networks(table, trial_base_scale(trials)),
        trials.seeds,
        development_data(splits, Path(images.root), images.transform, pixel_cache, images.cache_gb),
        TrialSetup(recipe, training.batch_norm_momentum or TRIAL_MOMENTUM, device.precision),
        trial_cache,
        stop_request,
    )
