"""From φ, or a budget, to a network that is ready to be trained."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import pandas as pd

from goodbad_pipeline.evaluation.slices import check_sensitive
from goodbad_pipeline.images.pixels import PixelCache, Pixels, PixelSource, pixel_source
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.network_factory import build_untrained, fit_budget
from goodbad_pipeline.networks.architecture import LayerShape, layer_shape
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.net2net_source import check_growth, source_shape
from goodbad_pipeline.networks.pretrained import check_weights, check_weights_fit
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.params import EvaluationParams, ImageParams, ModelParams, RegistryParams, TrainingParams
from goodbad_pipeline.registry.lineage import SCRATCH, SOURCE, describe_source
from goodbad_pipeline.registry.models import load_version
from goodbad_pipeline.training.distributed import join_team

logger = logging.getLogger(__name__)
net2net = lazy.load("goodbad_pipeline.networks.net2net", suppress_warning=True)


def check_columns(splits: pd.DataFrame, evaluation: EvaluationParams) -> None:
    """Find before training what evaluation, much later, would find missing."""
    check_sensitive(evaluation.sensitive, splits)


def choose_network(
    splits: pd.DataFrame, model: ModelParams, training: TrainingParams, registry: RegistryParams
) -> dict[str, Any]:
    """Settle which network the parameters stand for, once a run, and say what it costs.

    Every later node reads the network from here: a budget of time, asked again, might answer otherwise. What cannot be
    grown ends here, before images are decoded.
    """
    if training.distributed:
        join_team()  # before a model to grow, or a budget, asks for devices
    classes = len(class_names(splits))
    small = _shape_to_grow(model, registry.name)
    choice = fit_budget(model, training, classes)
    scale = choice.scale if choice else model.scale
    if small is not None:
        check_growth(small, layer_shape(scale))
    check_weights(model.weights_for(scale), scale)  # for what a budget bought; of φ the parameters were asked
    check_weights_fit(model.weights_for(scale), scale, classes)
    facts = _describe(scale, model, classes)
    facts[SOURCE] = _look_into_source(splits, model, facts["weights"], registry.name)
    if choice:
        spending = {one.name: {"cost": one.cost, "limit": one.limit} for one in choice.spending}
        facts |= {"bound_by": choice.reason, "budget": spending}
        logger.info(
            "The budget buys φ = %.4g, bound by %s; %s", scale.phi, choice.reason, "; ".join(map(str, choice.spending))
        )
    logger.info(
        "%s: depth ×%.3g, width ×%.3g, resolution %d; %s parameters, %s multiply-adds an image; weights: %s",
        scale.label,
        scale.depth,
        scale.width,
        scale.resolution,
        f"{facts['parameters']:,}",
        f"{facts['macs']:,}",
        facts["weights"],
    )
    if scale.phi is not None:
        logger.info("One step of φ multiplies the operations by α·β²·γ² = %.3f", model.product)
    if facts["weights"] == SCRATCH and model.weights == "auto":
        logger.info("weights=auto starts from scratch: %s", model.why_no_weights(scale))
    return facts


def _shape_to_grow(model: ModelParams, registered: str) -> LayerShape | None:
    source = model.growth_source
    if source is None:
        return None
    if source.version is None:
        return source_shape(source, model.family if model.budget else model.scale.family)
    return net2net.read_shape(load_version(source.name or registered, source.version).model)


def _look_into_source(splits: pd.DataFrame, model: ModelParams, origin: str, registered: str) -> dict[str, Any] | None:
    """Say before hours of training what its test results will be worth."""
    source = describe_source(model, origin, registered, splits)
    if source is not None and source["test_images"]:
        logger.warning(
            "The first weights (%s) were trained or selected on %d of the test images, or others of their groups: "
            "tests will flatter the model",
            *(origin, source["test_images"]),
        )
    elif source is not None and not source["recorded"]:
        logger.warning(
            "It is not on record what the first weights (%s) were trained on: tests may flatter the model", origin
        )
    return source


def _describe(scale: NetworkScale, model: ModelParams, classes: int) -> dict[str, Any]:
    cost = count_complexity(scale, classes)
    origin = "grown from " + str(model.grow_from) if model.growth_source else model.weights_for(scale)
    facts = {"network": scale.label, **asdict(scale), "parameters": cost.parameters, "macs": cost.macs}
    if scale.phi is not None:
        facts["alpha_beta2_gamma2"] = round(model.product, 4)
    return facts | {"weights": origin or SCRATCH, "pretrained": origin is not None}


def cache_pixels(splits: pd.DataFrame, network: dict[str, Any], images: ImageParams) -> PixelSource:
    """Decode every image once, at the network's resolution, or plan to stream those that would fill the disk."""
    source = pixel_source(splits, Path(images.root), images.transform(network["resolution"]), images.cache_gb)
    if not source.fits:
        logger.info(
            "Streaming %d images: decoded they take more than images.cache_gb, %g GB",
            len(source.paths),
            images.cache_gb,
        )
    return source


def share_pixels(splits: pd.DataFrame, network: dict[str, Any], images: ImageParams, pixel_cache: PixelCache) -> Pixels:
    """Give the same images from the cache that all processes of a training share; who comes first decodes."""
    return pixel_cache(cache_pixels(splits, network, images))


def build_model(
    splits: pd.DataFrame,
    network: dict[str, Any],
    model: ModelParams,
    training: TrainingParams,
    registry: RegistryParams,
) -> Any:
    """Build the network and give it its first weights."""
    return build_untrained(splits, network, model, training, registry.name)
