"""Builds the network that was chosen and gives it its first weights, for every pipeline that trains it."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.networks.architecture import IMAGENET_CLASSES
from goodbad_pipeline.networks.budget import BudgetResult, Step
from goodbad_pipeline.networks.net2net_source import GrowthSource, base_scale
from goodbad_pipeline.networks.pretrained import IMAGENET
from goodbad_pipeline.networks.scaling import NetworkScale, read_scale
from goodbad_pipeline.params import ModelParams, TrainingParams
from goodbad_pipeline.registry.models import load_version
from goodbad_pipeline.serving.archive import load_archive
from goodbad_pipeline.training.devices import prepare_device

logger = logging.getLogger(__name__)


def build_untrained(
    splits: pd.DataFrame, network: dict[str, Any], model: ModelParams, training: TrainingParams, registered: str
) -> Any:
    """Build the network, from the seed of training where its weights are random.

    Args:
        splits: The images: their classes, and how many there are to train on.
        network: What `choose_network` settled.
        model: What the weights start from.
        training: Precision, seed and momentum of batch statistics.
        registered: Name of the registered model that a version to grow from belongs to.

    Returns:
        A Keras model of pixels (b, side, side, 3), 0–255, to class probabilities.
    """
    from goodbad_pipeline.networks import build_network  # noqa: PLC0415 - imports Keras

    device = prepare_device(training.precision, training.xla, training.seed, distributed=training.distributed)
    logger.info("Training on %s", device)
    scale, names, training_images = read_scale(network), class_names(splits), int((splits["split"] == "train").sum())
    if model.growth_source:
        return _grow_model(model.growth_source, scale, names, training.seed, registered)
    return build_network(
        scale,
        classes=len(names),
        weights=model.weights_for(scale),
        batch_norm_momentum=0.99 if network["pretrained"] else training.statistics_momentum(training_images),
        seed=training.seed,
    )


def _grow_model(source: GrowthSource, scale: NetworkScale, names: list[str], seed: int, registered: str) -> Any:
    from goodbad_pipeline.networks.net2net import grow  # noqa: PLC0415 - imports Keras

    small, small_names = _load_source(source, scale, len(names), registered)
    same_classes = small_names is None or small_names == names
    large = grow(small, scale, classes=len(names), keep_classifier=same_classes, seed=seed)
    logger.info("Grew %s weights to %s", f"{small.count_params():,}", f"{large.count_params():,}")
    return large


def _load_source(
    source: GrowthSource, scale: NetworkScale, classes: int, registered: str
) -> tuple[Any, list[str] | None]:
    """The small network and the names of its classes, None where they are not known."""
    from goodbad_pipeline.networks import build_network  # noqa: PLC0415

    if source.imagenet:
        keeps = classes == IMAGENET_CLASSES
        base = base_scale(scale.family, scale.resolution)
        return build_network(base, classes=classes, weights=IMAGENET, include_top=keeps), None
    if source.version is not None:
        found = load_version(source.name or registered, source.version)
        return found.model, found.class_names
    try:
        return load_archive(Path(str(source.path))), None
    except InputError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"grow_from: {source.path} cannot be loaded ({reason}). Save the model anew.") from error


def fit_budget(model: ModelParams, training: TrainingParams, classes: int) -> BudgetResult | None:
    """The largest network that the budget buys; None where there is no budget.

    Args:
        model: The budget and what it is for.
        training: Whose batch size, unless the budget has its own, and precision the costs are counted with.
        classes: Outputs of the classifier, at least 2.

    Raises:
        InputError: Not even the smallest network fits; the message says by how much.
    """
    if model.budget is None:
        return None
    batch_size = model.budget.batch_size or training.batch_size
    device = prepare_device(training.precision, training.xla, training.seed)

    def probe(scale: NetworkScale) -> float:
        from goodbad_pipeline.training.probe import measure_ms_per_image  # noqa: PLC0415 - imports Keras

        ms = measure_ms_per_image(scale, classes=classes, batch_size=batch_size)
        logger.info("Measured %s at %d pixels: %.3g ms an image", scale.label, scale.resolution, ms)
        return ms

    return model.spend(Step(classes, batch_size, device.precision), probe)
