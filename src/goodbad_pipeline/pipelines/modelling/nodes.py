"""Nodes that choose the network, decode the images for it and build it."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline import lazy, network_factory
from goodbad_pipeline.evaluation.slices import check_sensitive
from goodbad_pipeline.images.pixels import PixelCache, Pixels, PixelSource, pixel_source
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.network_factory import ChosenNetwork
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.pretrained import why_not_imagenet
from goodbad_pipeline.params import EvaluationParams, ImageParams, ModelParams, RegistryParams, TrainingParams
from goodbad_pipeline.registry.lineage import SCRATCH, SOURCE, describe_source

distributed = lazy.load("goodbad_pipeline.training.distributed")  # imports Keras
logger = logging.getLogger(__name__)


def check_columns(splits: pd.DataFrame, evaluation: EvaluationParams) -> None:
    """Raise before training if a column that the evaluation needs is missing."""
    check_sensitive(evaluation.sensitive, splits)


def choose_network(
    splits: pd.DataFrame, model: ModelParams, training: TrainingParams, registry: RegistryParams
) -> dict[str, Any]:
    """Return the network that the parameters select, with its cost and the source of its first weights.

    Later nodes read the network from here: fitting a time budget a second time could give another network. A network
    that cannot be grown from its source raises here, before any image is decoded.
    """
    if training.distributed:
        distributed.join_processes()  # before loading a model or fitting a budget initialises the devices
    classes = len(class_names(splits))
    chosen = network_factory.choose_network(model, training, classes, registry.name)
    scale, budget = chosen.scale, chosen.budget
    facts = _describe(chosen, model, classes)
    facts[SOURCE] = _describe_source(splits, model, facts["weights"], registry.name)
    if budget:
        uses = {use.name: {"cost": use.cost, "limit": use.limit} for use in budget.uses}
        facts |= {"bound_by": budget.reason, "budget": uses}
        logger.info(
            "The budget allows φ = %.4g, bound by %s; %s", scale.phi, budget.reason, "; ".join(map(str, budget.uses))
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
        logger.info("One step of φ multiplies the operations by α·β²·γ² = %.3f", model.coefficients.constants.product)
    if facts["weights"] == SCRATCH and model.weights == "auto":
        logger.info("weights=auto starts from scratch: %s", why_not_imagenet(scale))
    return facts


def _describe_source(splits: pd.DataFrame, model: ModelParams, origin: str, registered: str) -> dict[str, Any] | None:
    """Warn before training if the test results will be too optimistic."""
    source = describe_source(model, origin, registered, splits)
    if source is not None and source["test_images"]:
        logger.warning(
            "The first weights (%s) were trained or selected on %d of the test images, or on others of their groups: "
            "test results will be too optimistic",
            *(origin, source["test_images"]),
        )
    elif source is not None and not source["recorded"]:
        logger.warning(
            "The training data of the first weights (%s) is unknown: test results may be too optimistic", origin
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
    """Decode every image at the resolution of the network; stream images that exceed `images.cache_gb`."""
    source = pixel_source(splits, Path(images.root), images.transform(network["resolution"]), images.cache_gb)
    if not source.fits:
        logger.info(
            "Streaming %d images: decoded, they exceed images.cache_gb = %g GB",
            len(source.paths),
            images.cache_gb,
        )
    return source


def share_pixels(splits: pd.DataFrame, network: dict[str, Any], images: ImageParams, pixel_cache: PixelCache) -> Pixels:
    """Return the pixels from the cache that all processes of a training share; the first process decodes."""
    return pixel_cache(cache_pixels(splits, network, images))


def build_model(
    splits: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    registry: RegistryParams,
) -> Any:
    """Build the network and load its first weights."""
    return network_factory.build_untrained(splits, network, model, training, registry.name)
