"""From images and a network to a trained network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy
import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.networks.scaling import read_scale
from goodbad_pipeline.params import ImageParams, ModelParams, TrainingParams, decisive_parameters
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.config_hash import Facts, training_config
from goodbad_pipeline.training.devices import Device, batch_that_fits, memory_bytes, out_of_memory, prepare_device
from goodbad_pipeline.training.distributed import leave_team
from goodbad_pipeline.training.progress import EpochCallback

if TYPE_CHECKING:
    from goodbad_pipeline.training.train import LabelledPixels

logger = logging.getLogger(__name__)
precision = lazy.load("goodbad_pipeline.training.precision", suppress_warning=True)
saving = lazy.load("goodbad_pipeline.training.saving", suppress_warning=True)
train = lazy.load("goodbad_pipeline.training.train", suppress_warning=True)


def train_model(
    untrained_model: Any,
    pixels: Pixels,
    splits: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    images: ImageParams,
    epoch_log: EpochCallback,
    checkpoints: CheckpointStore,
) -> tuple[Any, pd.DataFrame]:
    """Train on train, choose by validation: the trained model, in float32 whatever it was trained in, and its history.

    A training that was cut off goes on where it was, if nothing that decides its result has changed. A batch that does
    not fit into memory ends it, or is made smaller if the parameters say so.
    """
    train_data, validation_data = (_labelled(split, splits, pixels) for split in ("train", "validation"))

    def fit(params: TrainingParams, device: Device) -> pd.DataFrame:
        facts = _facts(splits, network, model, params, images, device)
        return train.fit_model(
            untrained_model,
            train_data,
            validation_data,
            params.recipe(jit_compile=device.jit_compile),
            pretrained=network["pretrained"],
            epoch_callback=epoch_log,
            checkpoints=saving.Checkpointing(checkpoints, facts, **params.checkpoint.model_dump()),
        )

    shrink = partial(_smaller_batch, network=network, classes=train_data.classes)
    history = _fit_into_memory(untrained_model, training, fit, shrink)
    leave_team()
    return precision.in_float32(untrained_model), history


def _labelled(split: str, splits: pd.DataFrame, pixels: Pixels) -> LabelledPixels:
    names, table = class_names(splits), splits[splits["split"] == split]
    y_true = table["label"].map(names.index).to_numpy("int64")
    return train.LabelledPixels(pixels.array, pixels.rows(table["image_id"]), y_true, len(names))


def _fit_into_memory(
    model: Any,
    training: TrainingParams,
    fit: Callable[[TrainingParams, Device], pd.DataFrame],
    shrink: Callable[..., TrainingParams],
) -> pd.DataFrame:
    """Train with smaller and smaller batches, each time from the model's first values, until one fits."""
    start = [np.array(variable) for variable in model.variables] if training.auto_batch else []
    while True:
        device = prepare_device(
            training.precision,
            training.xla,
            training.seed,
            distributed=training.distributed,
            batch_size=training.batch_size,
        )
        if device.gpus > 1:
            logger.info("Each batch is spread over %s", device)
        try:
            return fit(training, device)
        except Exception as error:
            if not out_of_memory(error):
                raise
            training = shrink(training, device=device, error=error)
            for variable, value in zip(model.variables, start, strict=True):
                variable.assign(value)


def _facts(
    splits: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    images: ImageParams,
    device: Device,
) -> Facts:
    """All that decides the result, but for the network's first values."""
    measured = ("budget", "bound_by")  # a time, measured again, is another; the network may be the same all the same
    chosen = {name: value for name, value in network.items() if name not in measured}
    parameters = decisive_parameters(model, training, images)
    return {**training_config(parameters, splits), "network": chosen, "device": str(device)}


def _smaller_batch(
    training: TrainingParams, *, network: dict[str, Any], classes: int, device: Device, error: Exception
) -> TrainingParams:
    """The same parameters with a batch that should fit; without ``auto_batch``, or where none does, an error."""
    fits = batch_that_fits(
        read_scale(network),
        classes=classes,
        precision=device.precision,
        tried=training.batch_size,
        memory_bytes=memory_bytes(),
        devices=max(1, device.gpus),
        multiple=training.data_shards,
    )
    said = f"training.batch_size: {training.batch_size} images a step do not fit into memory"
    if fits is None:
        raise InputError(f"{said}; choose a smaller network or a lower model.resolution") from error
    if not training.auto_batch:
        raise InputError(f"{said}; {fits} should: set it, or training.auto_batch=true") from error
    logger.warning("%s; trying %d", said, fits)
    return training.model_copy(update={"batch_size": fits})


def draw_history(history: pd.DataFrame, training: TrainingParams) -> figures.Figure:
    """Show loss and accuracy over all epochs, and which epoch's weights were kept."""
    return figures.history_figure(history, training.monitor)
