"""Trials of several networks: short, equal trainings from several seeds, measured on the validation split.

Every network starts from scratch and is trained for the same number of epochs on the same images. No training stops
early, and no epoch is selected by validation: the last weights are measured.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.experiments.trial_spec import DevelopmentData, TrialCache, TrialResult, TrialSpec
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.network_factory import trial_base_scale
from goodbad_pipeline.networks.architecture import expand_blocks, head_filters, stem_filters
from goodbad_pipeline.networks.model import build_network
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.networks.weights import zero_classifier
from goodbad_pipeline.params import ImageParams, TrainingParams, TrialParams
from goodbad_pipeline.training.devices import prepare_device
from goodbad_pipeline.training.optimizers import compile_model
from goodbad_pipeline.training.progress import EpochCallback, Row
from goodbad_pipeline.training.recipe import Recipe
from goodbad_pipeline.training.stopping import StopRequest
from goodbad_pipeline.training.train import fit_model

logger = logging.getLogger(__name__)

VERSION = 5
"""Part of every cache key. Increase it when a change of the code changes results, so that trials are trained again."""
TRIAL_COLUMNS = ["network", "seed", "val_accuracy", "val_loss", "accuracy", "loss", "seconds", "cache_key"]
_MOMENTUM = 0.9  # of batch normalization if training.batch_norm_momentum is null: an average over about ten steps


@dataclass(frozen=True)
class TrialNetwork:
    """A network to train; the parameters in `shown` are only logged."""

    name: str
    scale: NetworkScale
    shown: Mapping[str, Any]


def build_untrained(scale: NetworkScale, *, classes: int, batch_norm_momentum: float, seed: int) -> keras.Model:
    """Return a network whose classifier starts at zero.

    A random classifier on a thousand features has large outputs and a high loss. A short training would spend most of
    its epochs on reaching the loss of guessing, at which a zero classifier starts.
    """
    model = build_network(scale, classes=classes, batch_norm_momentum=batch_norm_momentum, seed=seed)
    zero_classifier(model)
    return model


@dataclass(frozen=True)
class TrialSetup:
    """Settings that all trials share, except for the seed in the recipe; `precision` is a Keras dtype policy."""

    recipe: Recipe
    batch_norm_momentum: float
    precision: str
    build: Callable[..., keras.Model] = build_untrained


def train_networks(
    table: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    trials: TrialParams,
    pixel_cache: PixelCache,
    cache: TrialCache,
    stop: StopRequest,
) -> pd.DataFrame:
    """Train the networks in ``table``. The parameters ``trials`` take precedence over the parameters ``training``."""
    device = prepare_device(training.precision, training.xla, training.seed)
    recipe = replace(
        training.recipe(jit_compile=device.jit_compile),
        scratch_epochs=trials.epochs,
        batch_size=trials.batch_size,
        scratch_learning_rate=trials.learning_rate,
    )
    return run_trials(
        read_networks(table, trial_base_scale(trials)),
        trials.seeds,
        DevelopmentData(splits, open_root(images.root), images.transform, pixel_cache, images.cache_gb),
        TrialSetup(recipe, training.batch_norm_momentum or _MOMENTUM, device.precision),
        cache,
        stop,
    )


def read_networks(table: pd.DataFrame, base: NetworkScale) -> list[TrialNetwork]:
    """Return the networks of a table with the columns network, depth, width and resolution.

    Other columns are only logged. The family and the dropout rate come from `base`.
    """
    networks = []
    for row in table.to_dict("records"):
        shown = {str(name): value for name, value in row.items() if name != "network"}
        depth, width, resolution = float(row["depth"]), float(row["width"]), int(row["resolution"])
        scale = replace(base, depth=depth, width=width, resolution=resolution, phi=None)
        networks.append(TrialNetwork(row["network"], scale, shown))
    return networks


def run_trials(
    networks: Sequence[TrialNetwork],
    seeds: Sequence[int],
    data: DevelopmentData,
    setup: TrialSetup,
    cache: TrialCache,
    stop: StopRequest,
) -> pd.DataFrame:
    """Train each network from each seed, unless the result is stored already.

    The result has one row per trial, ordered by network and seed, and the columns `TRIAL_COLUMNS`.

    Raises:
        Stopped: A stop was requested; results of complete trials are stored.
        TrainingDiverged: A loss is not finite.
    """
    rows: list[dict[str, Any]] = []
    total = len(networks) * len(seeds)
    for network in networks:
        trainer = _Trainer(network.scale, data, setup, stop)
        for seed in seeds:
            stop.check(f"after {len(rows)} of {total} trials, whose results are stored")
            spec = trial_spec(network, seed, data, setup)
            result = cache(spec, partial(trainer.train, seed))
            rows.append({"network": network.name, "seed": seed, **result, "cache_key": spec.cache_key})
            label, accuracy = f"{network.name}, seed {seed}", result["val_accuracy"]
            logger.info("Trial %d of %d: %s: val_accuracy %.4f", len(rows), total, label, accuracy)
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def trial_spec(network: TrialNetwork, seed: int, data: DevelopmentData, setup: TrialSetup) -> TrialSpec:
    """Return the spec of a trial. Networks whose layers are equal after rounding have equal cache keys."""
    scale = network.scale
    config = {
        "version": VERSION,
        "keras": f"{keras.__version__} {keras.backend.backend()}",
        "network": {  # what the layers depend on, after rounding
            "family": scale.family,
            "resolution": scale.resolution,
            "dropout": scale.dropout,
            "ends": [stem_filters(scale), head_filters(scale)],
            "blocks": [asdict(block) for block in expand_blocks(scale)],
        },
        "classes": data.classes,
        "data": data.config(scale.resolution),
        "recipe": asdict(_recipe(setup.recipe, seed)),
        "batch_norm_momentum": setup.batch_norm_momentum,
        "precision": setup.precision,
    }
    return TrialSpec(network.name, seed, network.shown, config)


class _Trainer:
    """Trains one network from several seeds with one traced graph, because tracing takes the time of many epochs."""

    def __init__(self, scale: NetworkScale, data: DevelopmentData, setup: TrialSetup, stop: StopRequest) -> None:
        self._scale, self._data, self._setup, self._stop = scale, data, setup, stop
        self._model: keras.Model | None = None
        self._optimizer_start: list[np.ndarray] = []

    def train(self, seed: int, epoch_callback: EpochCallback) -> TrialResult:
        started = time.perf_counter()
        recipe, (train, validation) = _recipe(self._setup.recipe, seed), self._data.at(self._scale.resolution)
        model = self._untrained_model(recipe, steps=-(-len(train.rows) // recipe.batch_size))
        history = fit_model(
            model,
            train,
            validation,
            recipe,
            pretrained=False,
            compiled=True,
            stop=self._stop,
            epoch_callback=lambda row: epoch_callback(_without_smoothing(row)),
        ).history
        last = _without_smoothing(history.iloc[-1].to_dict())
        metrics = {name: float(last[name]) for name in ("val_accuracy", "val_loss", "accuracy", "loss")}
        return {**metrics, "seconds": time.perf_counter() - started}

    def _untrained_model(self, recipe: Recipe, steps: int) -> keras.Model:
        """Return the compiled network, with its weights, dropout state and optimizer state reset to initial values."""
        new = self._setup.build(
            self._scale,
            classes=self._data.classes,
            batch_norm_momentum=self._setup.batch_norm_momentum,
            seed=recipe.seed,
        )
        if self._model is None:
            compile_model(new, recipe, recipe.scratch_learning_rate, steps=steps, epochs=recipe.scratch_epochs)
            self._model = new
            self._optimizer_start = [np.array(variable) for variable in new.optimizer.variables]
            return new
        _assign(self._model.variables, new.variables)
        _assign(self._model.optimizer.variables, self._optimizer_start)
        return self._model


def _without_smoothing(row: Mapping[Any, Any]) -> Row:
    """Return the metrics of an epoch, with the validation loss without label smoothing as val_loss."""
    return {**row, "val_loss": row["val_log_loss"]}


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _recipe(recipe: Recipe, seed: int) -> Recipe:
    """Return the recipe of one trial, which trains from scratch for all epochs and keeps the last weights.

    Fields that this training does not use get fixed values, so that they do not change the cache key.
    """
    return replace(
        recipe,
        seed=seed,
        keep_epoch="last",
        patience=recipe.scratch_epochs,
        monitor="val_loss",
        ema=0.0,
        loss_limit=sys.float_info.max,
        freeze_statistics=None,
        data_shards=1,
        head="epochs",
        head_epochs=0,
        epochs=0,
        interpolation=1.0,
        head_learning_rate=0.0,
        learning_rate=0.0,
    )
