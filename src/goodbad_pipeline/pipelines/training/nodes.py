"""Nodes that choose and build the network, decode the images and train the network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy, network_factory
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.predictions import prediction_table
from goodbad_pipeline.evaluation.slices import check_sensitive
from goodbad_pipeline.images.labelled_pixels import LabelledPixels, labelled_pixels
from goodbad_pipeline.images.pixels import PixelCache, Pixels, PixelSource, pixel_source
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.network_factory import ChosenNetwork
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.pretrained import why_not_imagenet
from goodbad_pipeline.networks.scaling import read_scale
from goodbad_pipeline.params import (
    EvaluationParams,
    ImageParams,
    ModelParams,
    RegistryParams,
    TrainingParams,
    decisive_parameters,
)
from goodbad_pipeline.registry.lineage import SCRATCH, SOURCE, describe_source
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.config_hash import training_config
from goodbad_pipeline.training.progress import EpochCallback
from goodbad_pipeline.training.stopping import StopRequest

# These import Keras.
batches = lazy.load("goodbad_pipeline.training.batches")
devices = lazy.load("goodbad_pipeline.training.devices")
distributed = lazy.load("goodbad_pipeline.training.distributed")
linear_head = lazy.load("goodbad_pipeline.training.linear_head")
saving = lazy.load("goodbad_pipeline.training.saving")
train = lazy.load("goodbad_pipeline.training.train")

logger = logging.getLogger(__name__)


def check_columns(splits: pd.DataFrame, evaluation: EvaluationParams) -> None:
    """Raise InputError before training if the splits lack a column that the evaluation needs."""
    check_sensitive(evaluation.sensitive, splits)


def choose_network(
    splits: pd.DataFrame,
    model: ModelParams,
    training: TrainingParams,
    registry: RegistryParams,
    images: ImageParams,
    pixel_cache: PixelCache,
) -> dict[str, Any]:
    """Return the network that the parameters select, its cost and the source of its initial weights.

    The network is chosen only once per run, because measured prediction times vary and may lead to another choice. If
    the network cannot be grown from its source, InputError is raised before any image is decoded.
    """
    if training.distributed:
        distributed.join_processes()  # first, because loading a model or fitting a budget initialises the devices
    classes = len(class_names(splits))
    resolutions = _compare_resolutions(splits, model, training, images, pixel_cache)
    if resolutions:
        side = next(row["resolution"] for row in resolutions if row["chosen"])
        model = model.model_copy(update={"resolution": side})
    chosen = network_factory.choose_network(model, training, classes, registry.name)
    scale, budget = chosen.scale, chosen.budget
    facts = _describe(chosen, model, classes)
    if resolutions:
        facts["resolutions"] = resolutions
    facts[SOURCE] = _describe_source(splits, model, facts["weights"], registry.name)
    if budget:
        uses = {use.name: {"cost": use.cost, "limit": use.limit} for use in budget.uses}
        facts |= {"bound_by": budget.reason, "budget": uses}
        logger.info(
            "The budget allows φ = %.4g, limited by %s; %s", scale.phi, budget.reason, "; ".join(map(str, budget.uses))
        )
    logger.info(
        "%s: depth ×%.3g, width ×%.3g, resolution %d; %s parameters, %s multiply-adds per image; weights: %s",
        scale.label,
        scale.depth,
        scale.width,
        scale.resolution,
        f"{facts['parameters']:,}",
        f"{facts['macs']:,}",
        facts["weights"],
    )
    if scale.phi is not None:
        logger.info("Raising φ by 1 multiplies the operations by α·β²·γ² = %.3f", model.coefficients.constants.product)
    if facts["weights"] == SCRATCH and model.weights == "auto":
        logger.info("The network starts from random weights: %s", why_not_imagenet(scale))
    return facts


def _compare_resolutions(
    splits: pd.DataFrame, model: ModelParams, training: TrainingParams, images: ImageParams, pixel_cache: PixelCache
) -> list[dict[str, Any]]:
    """Return one row per resolution that `model.resolution: auto` compares; no rows without ``auto``."""
    if model.resolution != "auto":
        return []
    train_images = splits[splits["split"] == "train"]
    sides = train_images[["width", "height"]].max(axis=1)
    candidates = linear_head.candidate_resolutions(network_factory.RESOLUTIONS, sides.to_numpy())
    if train_images["group"].nunique() < 2:  # cross-validation needs two groups
        candidates = candidates[:1]
    if len(candidates) == 1:
        return [{"resolution": candidates[0], "chosen": True}]
    devices.prepare_device(training.precision, training.xla, training.seed)

    def load(side: int) -> LabelledPixels:
        source = pixel_source(train_images, open_root(images.root), images.transform(side), images.cache_gb)
        return labelled_pixels("train", splits, pixel_cache(source))

    build = partial(network_factory.build_frozen, model, classes=len(class_names(splits)))
    table = linear_head.compare_resolutions(candidates, build, load, training.seed)
    logger.info("model.resolution=auto chose among these resolutions:\n%s", table.round(4).to_string(index=False))
    rows: list[dict[str, Any]] = table.to_dict("records")
    return rows


def _describe_source(splits: pd.DataFrame, model: ModelParams, origin: str, registered: str) -> dict[str, Any] | None:
    """Return facts about the source of the initial weights; log a warning if test results may be too optimistic."""
    source = describe_source(model, origin, registered, splits)
    if source is not None and source["test_images"]:
        logger.warning(
            "The initial weights (%s) were trained or selected on %d test images, or on images of the same groups: "
            "test results will be too optimistic",
            *(origin, source["test_images"]),
        )
    elif source is not None and not source["recorded"]:
        logger.warning(
            "The training data of the initial weights (%s) is unknown: test results may be too optimistic", origin
        )
    return source


def _describe(chosen: ChosenNetwork, model: ModelParams, classes: int) -> dict[str, Any]:
    scale = chosen.scale
    cost = count_complexity(scale, classes)
    origin = chosen.weights if model.grow_from is None else f"grown from {model.grow_from}"
    facts = {"network": scale.label, **asdict(scale), "parameters": cost.parameters, "macs": cost.macs}
    if scale.phi is not None:
        facts["alpha_beta2_gamma2"] = round(model.coefficients.constants.product, 4)
    return facts | {"weights": origin or SCRATCH, "pretrained": origin is not None}


def cache_pixels(splits: pd.DataFrame, network: dict[str, Any], images: ImageParams) -> PixelSource:
    """Decode every image at the resolution of the network.

    If the pixels of all images exceed `images.cache_gb`, the images are decoded during training instead.
    """
    source = pixel_source(splits, open_root(images.root), images.transform(network["resolution"]), images.cache_gb)
    if not source.fits:
        message = "Decoding %d images during training, because their pixels exceed images.cache_gb = %g GB"
        logger.info(message, len(source.paths), images.cache_gb)
    return source


def share_pixels(splits: pd.DataFrame, network: dict[str, Any], images: ImageParams, pixel_cache: PixelCache) -> Pixels:
    """Return the pixels from the cache that all processes share. The first process decodes the images."""
    return pixel_cache(cache_pixels(splits, network, images))


def build_model(
    splits: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    registry: RegistryParams,
) -> Any:
    """Build the network and load its initial weights."""
    return network_factory.build_untrained(splits, network, model, training, registry.name)


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
) -> tuple[Any, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Train the network on the train split and predict the validation split.

    The validation split decides which weights are kept. An interrupted training is resumed if nothing that
    determines its result has changed. If a batch does not fit into memory, training fails, or starts again with smaller
    batches if ``training.auto_batch`` is true. With ``training.refit``, a second training uses the train and validation
    splits. The returned model is then the result of the second training; the tables describe the first training.

    Returns:
        The model in float32, and three tables: the history by epoch, the compared mixtures of the weights before and
        after fine-tuning (see `candidate_table`), and the validation predictions.
    """
    train_images, validation = (labelled_pixels(split, splits, pixels) for split in ("train", "validation"))
    measured = ("budget", "bound_by", "resolutions")  # why the network was chosen; measured times vary between runs
    chosen = {name: value for name, value in network.items() if name not in measured}

    def fit(params: TrainingParams, device: Any, strategy: Any, *, refits: bool = False) -> Any:
        # Everything that determines the result, except the initial values of the network.
        config = training_config(decisive_parameters(model, params, images), splits)
        config |= {"network": chosen, "device": str(device)} | ({"refits": True} if refits else {})
        return train.fit_model(
            untrained_model,
            labelled_pixels("train", _with_validation(splits), pixels) if refits else train_images,
            validation,
            params.recipe(jit_compile=device.jit_compile),
            pretrained=network["pretrained"],
            strategy=strategy,
            stop=stop_request,
            epoch_callback=None if refits else epoch_log,
            checkpoints=saving.Checkpointing(checkpoints, config, **params.checkpoint.model_dump()),
        )

    shrink = partial(_smaller_batch, network=network, classes=train_images.classes)
    initial = [np.array(variable) for variable in untrained_model.variables] if training.refit else []
    history, candidates = _fit_into_memory(untrained_model, training, fit, shrink)
    trained = devices.in_float32(untrained_model)
    table = splits[splits["split"] == "validation"]
    probabilities = batches.predict(trained, validation.pixels, validation.rows)
    predictions = prediction_table(table, probabilities, Calibration(class_names(splits)))
    if training.refit:
        logger.info("Training again on train and validation images; validation metrics now describe training images")
        _set_variables(untrained_model, initial)
        _fit_into_memory(
            untrained_model, _refit_parameters(training, history, candidates), partial(fit, refits=True), shrink
        )
        trained = devices.in_float32(untrained_model)
    return trained, history, candidates, predictions


def _with_validation(splits: pd.DataFrame) -> pd.DataFrame:
    return splits.assign(split=splits["split"].replace("validation", "train"))


def _refit_parameters(training: TrainingParams, history: pd.DataFrame, candidates: pd.DataFrame) -> TrainingParams:
    """Return the parameters with the number of epochs and the mixture of weights that the first training chose."""
    last = history[history["phase"] == history["phase"].iloc[-1]]
    kept = int((last["epoch"] <= last.loc[last["kept"], "epoch"].iloc[0]).sum())
    phase = {train.ALL_LAYERS: "epochs", train.SCRATCH: "scratch_epochs"}.get(last["phase"].iloc[0], "head_epochs")
    factor = candidates.loc[candidates["chosen"], "factor"].iloc[0] if len(candidates) else 1.0
    fixed = {
        phase: kept,
        "interpolation": float(factor),
        "keep_epoch": "last",
        "patience": max(kept, training.patience),
    }
    return training.model_copy(update=fixed)


def _set_variables(model: Any, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _fit_into_memory(
    model: Any,
    training: TrainingParams,
    fit: Callable[[TrainingParams, Any, Any], Any],
    shrink: Callable[..., TrainingParams],
) -> Any:
    """Train; if a batch does not fit into memory, start again from the initial values with smaller batches."""
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
            logger.info("Each batch is divided among %d GPUs", device.gpus)
        try:
            fitted = fit(training, device, strategy)
        except Exception as error:
            if not devices.out_of_memory(error):
                raise
            training = shrink(training, device=device, error=error)
            _set_variables(model, initial)
        else:
            strategy.shutdown()
            return fitted


def _smaller_batch(
    training: TrainingParams, *, network: dict[str, Any], classes: int, device: Any, error: Exception
) -> TrainingParams:
    """Return the parameters with a batch size that should fit into memory.

    Raises:
        InputError: No batch size fits, or ``auto_batch`` is false.
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
        raise InputError(f"{problem}. Choose a smaller network or a lower model.resolution") from error
    if not training.auto_batch:
        raise InputError(
            f"{problem}. A batch size of {fits} should fit: set training.batch_size={fits} or training.auto_batch=true"
        ) from error
    logger.warning("%s; trying a batch size of %d", problem, fits)
    return training.model_copy(update={"batch_size": fits})
