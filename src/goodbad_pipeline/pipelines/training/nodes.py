"""Train the network that was built, on the images of train and validation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.networks.scaling import read_scale
from goodbad_pipeline.params import ImageParams, ModelParams, TrainingParams, decisive_parameters
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.config_hash import Config, training_config
from goodbad_pipeline.training.labelled_pixels import labelled_pixels
from goodbad_pipeline.training.progress import EpochCallback
from goodbad_pipeline.training.stopping import StopRequest

# These import Keras.
devices = lazy.load("goodbad_pipeline.training.devices")
distributed = lazy.load("goodbad_pipeline.training.distributed")
saving = lazy.load("goodbad_pipeline.training.saving")
train = lazy.load("goodbad_pipeline.training.train")

logger = logging.getLogger(__name__)


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
    stop_request: StopRequest,
) -> tuple[Any, pd.DataFrame]:
    """Train on train and select weights by validation; return the model in float32 and its history.

    An interrupted training resumes if nothing that decides its result has changed. If a batch does not fit into memory,
    training ends with an error or, under ``training.auto_batch``, starts again with smaller batches.
    """
    train_images, validation = (labelled_pixels(split, splits, pixels) for split in ("train", "validation"))

    def fit(params: TrainingParams, device: Any, strategy: Any) -> pd.DataFrame:
        config = _config(splits, network, model, params, images, str(device))
        return train.fit_model(
            untrained_model,
            train_images,
            validation,
            params.recipe(jit_compile=device.jit_compile),
            pretrained=network["pretrained"],
            strategy=strategy,
            stop=stop_request,
            epoch_callback=epoch_log,
            checkpoints=saving.Checkpointing(checkpoints, config, **params.checkpoint.model_dump()),
        )

    shrink = partial(_smaller_batch, network=network, classes=train_images.classes)
    history = _fit_into_memory(untrained_model, training, fit, shrink)
    return devices.in_float32(untrained_model), history


def _fit_into_memory(
    model: Any,
    training: TrainingParams,
    fit: Callable[[TrainingParams, Any, Any], pd.DataFrame],
    shrink: Callable[..., TrainingParams],
) -> pd.DataFrame:
    """Train with smaller and smaller batches until one fits, each time from the initial values of the model."""
    initial = [np.array(variable) for variable in model.variables] if training.auto_batch else []
    while True:
        device = devices.prepare_device(
            training.precision,
            training.xla,
            training.seed,
            distributed=training.distributed,
            batch_size=training.batch_size,
        )
        strategy = distributed.choose_strategy(device.gpus, distributed=training.distributed)
        if device.gpus > 1:
            logger.info("Each batch is shared by %s", device)
        try:
            history = fit(training, device, strategy)
        except Exception as error:
            if not devices.out_of_memory(error):
                raise
            training = shrink(training, device=device, error=error)
            for variable, value in zip(model.variables, initial, strict=True):
                variable.assign(value)
        else:
            strategy.shutdown()
            return history


def _config(
    splits: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    images: ImageParams,
    device: str,
) -> Config:
    """Return all that decides the result, except the initial values of the network."""
    measured = ("budget", "bound_by")  # measured times vary between runs, even if the network is the same
    chosen = {name: value for name, value in network.items() if name not in measured}
    parameters = decisive_parameters(model, training, images)
    return {**training_config(parameters, splits), "network": chosen, "device": device}


def _smaller_batch(
    training: TrainingParams, *, network: dict[str, Any], classes: int, device: Any, error: Exception
) -> TrainingParams:
    """Return the parameters with a batch size that should fit.

    Raises:
        InputError: None fits, or ``auto_batch`` is false.
    """
    fits = devices.batch_that_fits(
        read_scale(network),
        classes=classes,
        precision=device.precision,
        tried=training.batch_size,
        memory_bytes=devices.memory_bytes(),
        devices=max(1, device.gpus),
        multiple=training.data_shards,
    )
    problem = f"training.batch_size: {training.batch_size} images per step do not fit into memory"
    if fits is None:
        raise InputError(f"{problem}; choose a smaller network or a lower model.resolution") from error
    if not training.auto_batch:
        raise InputError(f"{problem}; {fits} should: set it, or training.auto_batch=true") from error
    logger.warning("%s; trying %d", problem, fits)
    return training.model_copy(update={"batch_size": fits})
