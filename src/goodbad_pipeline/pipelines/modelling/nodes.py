"""From φ to a network that is ready to be trained."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.efficientnet.complexity import count_complexity
from goodbad_pipeline.images.pixels import PixelSource, Transform, pixel_source
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.params import ImageParams, ModelParams, TrainingParams
from goodbad_pipeline.training.devices import prepare_device

logger = logging.getLogger(__name__)


def describe_network(splits: pd.DataFrame, model: ModelParams) -> dict[str, Any]:
    """Say which network the parameters stand for, and what it costs."""
    scale = model.scale
    cost = count_complexity(scale, classes=len(class_names(splits)))
    logger.info(
        "%s: depth ×%.3g, width ×%.3g, resolution %d; %s parameters, %s multiply-adds a picture; weights: %s",
        scale.label,
        scale.depth,
        scale.width,
        scale.resolution,
        f"{cost.parameters:,}",
        f"{cost.macs:,}",
        model.weights_source or "none (from scratch)",
    )
    if model.weights == "auto" and model.why_no_weights:
        logger.info("weights=auto starts from scratch: %s", model.why_no_weights)
    return {
        "network": scale.label,
        "family": scale.family,
        "phi": scale.phi,
        "variant": scale.variant,
        "depth": scale.depth,
        "width": scale.width,
        "resolution": scale.resolution,
        "dropout": scale.dropout,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "weights": model.weights_source or "none",
    }


def cache_pixels(splits: pd.DataFrame, images: ImageParams, model: ModelParams) -> PixelSource:
    """Decode every picture once, at the network's resolution."""
    transform = Transform(model.scale.resolution, images.resize, images.background, images.max_pixels)
    return pixel_source(splits, Path(images.root), transform)


def build_model(splits: pd.DataFrame, model: ModelParams, training: TrainingParams) -> Any:
    """Build the network and give it its first weights."""
    from goodbad_pipeline.efficientnet import build_network  # noqa: PLC0415 - imports Keras

    device = prepare_device(training.precision, training.xla, training.seed)
    logger.info("Training on %s", device)
    scratch = model.weights_source is None
    return build_network(
        model.scale,
        classes=len(class_names(splits)),
        weights=model.weights_source,
        batch_norm_momentum=training.batch_norm_momentum if scratch else 0.99,
        seed=training.seed,
    )
