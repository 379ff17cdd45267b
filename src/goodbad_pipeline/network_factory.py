"""Build the Keras model that the parameters describe, with its initial weights, for every pipeline that trains.

Only this module chooses the network (by φ, variant or budget) and the initial weights (by `grow_from` or `weights`).
"""

import logging
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.networks import net2net_source, pretrained
from goodbad_pipeline.networks.architecture import IMAGENET_CLASSES, LayerShape, layer_shape
from goodbad_pipeline.networks.budget import Budget, BudgetResult, Probe, Step, choose_phi
from goodbad_pipeline.networks.net2net_source import GrowthSource, parse_growth_source
from goodbad_pipeline.networks.scaling import NetworkScale, read_scale, resolve_scale
from goodbad_pipeline.networks.scaling_candidates import Candidate, list_candidates
from goodbad_pipeline.params import Group, ModelParams, ScalingSearchParams, TrainingParams, TrialParams
from goodbad_pipeline.params.training import WEIGHT_WORDS
from goodbad_pipeline.registry.models import load_version
from goodbad_pipeline.serving.archive import load_archive

# These import Keras.
devices = lazy.load("goodbad_pipeline.training.devices")
network_model = lazy.load("goodbad_pipeline.networks.model")
net2net = lazy.load("goodbad_pipeline.networks.net2net")

logger = logging.getLogger(__name__)


RESOLUTIONS = (128, 160, 192, 224)
"""The resolutions that `model.resolution: auto` compares."""


@dataclass(frozen=True)
class ChosenNetwork:
    """The network that the parameters select.

    `weights` is `imagenet`, the path of a file, or None if the weights are random or come from a smaller network.
    """

    scale: NetworkScale
    weights: str | None
    budget: BudgetResult | None


def check_networks(groups: Mapping[str, Group]) -> None:
    """Check before a run that every network in the parameters is possible and that its weights can be loaded.

    Raises:
        InputError: One line that lists all problems, each after the name of its parameter group.
    """
    training = groups.get("training")
    recipe = training if isinstance(training, TrainingParams) else None
    problems: list[str] = []
    for name, group in groups.items():
        if isinstance(group, ModelParams):
            problems += _problems(name, _check_model, group, recipe)
        elif isinstance(group, TrialParams):
            wrong_base = _problems(f"{name}.base", trial_base_scale, group)
            searches = isinstance(group, ScalingSearchParams) and not wrong_base
            problems += _problems(name, grid_candidates, group) if searches else wrong_base
    if problems:
        raise InputError("; ".join(problems))


def _problems(name: str, check: Callable[..., object], *arguments: object) -> list[str]:
    try:
        check(*arguments)
    except InputError as error:
        return [f"{name}: {error}"]
    return []


def _check_model(model: ModelParams, training: TrainingParams | None) -> None:
    scale, source = None, parse_growth_source(model.grow_from)
    if model.budget is None:
        scale = network_scale(model)
        weights = initial_weights(model, scale)
        if model.resolution == "auto" and weights is None:
            raise InputError(
                "resolution must be a number or null if the network has no pretrained weights; received 'auto' "
                f"({pretrained.why_not_imagenet(scale)})."
            )
        pretrained.check_weights_fit(weights, scale, classes=None)
    else:
        if model.weights not in (None, *WEIGHT_WORDS):
            pretrained.check_weights_file(Path(model.weights))
        _fit_smallest_costs(model, training)
    if source is not None:
        family = scale.family if scale else model.family
        net2net_source.check_growth_source(source, family)
        shape = net2net_source.source_shape(source, family)
        if shape is not None and scale is not None:  # with a budget, `choose_network` checks growth
            net2net_source.check_growth(shape, layer_shape(scale))


def _fit_smallest_costs(model: ModelParams, training: TrainingParams | None) -> None:
    """Raise InputError if no network fits the budget even under the most favourable assumptions.

    The assumptions are two classes, half precision unless a precision is set, and predictions that take no time.
    """
    batch_size, precision = (training.batch_size, training.precision) if training else (1, "auto")
    lowest = "mixed_float16" if precision == "auto" else precision
    _fit(model, Step(2, _budget_batch_size(model, batch_size), lowest), lambda _: 0.0)


def network_scale(model: ModelParams) -> NetworkScale:
    """Return the network for φ or a variant. For a budget, use `choose_network` instead.

    The resolution `auto`, which depends on the images, counts as the lowest of `RESOLUTIONS`.
    """
    return resolve_scale(
        phi=model.phi,
        variant=model.variant,
        family=model.family if model.variant is None else "efficientnet",  # a variant determines its family
        coefficients=model.coefficients.constants,
        resolution=RESOLUTIONS[0] if model.resolution == "auto" else model.resolution,
        dropout=model.dropout,
    )


def trial_base_scale(trials: TrialParams) -> NetworkScale:
    """Return the network that a scaling search or study enlarges."""
    return resolve_scale(phi=trials.base.phi, family=trials.base.family, resolution=trials.base.resolution)


def grid_candidates(search: ScalingSearchParams) -> tuple[Candidate, ...]:
    """Return the points of the search grid for which α·β²·γ² differs from 2 by at most `search.tolerance`."""
    return list_candidates(trial_base_scale(search), search.alpha, search.beta, search.gamma, search.tolerance)


def network_label(model: ModelParams) -> str:
    """Return family, size and resolution as a name for runs, such as `lite φ=0 224 px`."""
    if model.budget:
        return f"{_short(model.family)} budget"
    scale = network_scale(model)
    size = scale.variant or f"{_short(scale.family)} φ={scale.phi:g}"
    return f"{size} {scale.resolution if model.resolution != 'auto' else 'auto'} px"


def _short(family: str) -> str:
    return family.removeprefix("efficientnet_")


def initial_weights(model: ModelParams, scale: NetworkScale) -> str | None:
    """Return the weights for `build_network`: None, `imagenet` or a file.

    `auto` becomes `imagenet` if these weights exist for the network, else None.
    """
    if model.grow_from is not None or model.weights in (None, "none"):
        return None
    if model.weights == "auto":
        return pretrained.IMAGENET if pretrained.why_not_imagenet(scale) is None else None
    return model.weights


def choose_network(model: ModelParams, training: TrainingParams, classes: int, registered: str) -> ChosenNetwork:
    """Return the network for φ, a variant or a budget, and check that the network can start from its initial weights.

    A version in `grow_from` without a model name is a version of the registered model `registered`.
    """
    small = _growth_shape(model, registered)  # first, because fitting a budget may take minutes
    budget = fit_budget(model, training, classes)
    scale = budget.scale if budget else network_scale(model)
    if small is not None:
        net2net_source.check_growth(small, layer_shape(scale))
    weights = initial_weights(model, scale)
    pretrained.check_weights_fit(weights, scale, classes)
    return ChosenNetwork(scale, weights, budget)


def _growth_shape(model: ModelParams, registered: str) -> LayerShape | None:
    source = parse_growth_source(model.grow_from)
    if source is None:
        return None
    if source.version is not None:
        return net2net.read_shape(load_version(source.name or registered, source.version).model)
    return net2net_source.source_shape(source, model.family if model.budget else network_scale(model).family)


def fit_budget(model: ModelParams, training: TrainingParams, classes: int) -> BudgetResult | None:
    """Return the largest network within the budget, or None if no budget is set."""
    if model.budget is None:
        return None
    batch_size = _budget_batch_size(model, training.batch_size)
    device = devices.prepare_device(training.precision, training.xla, training.seed)
    probe = partial(measure_ms_per_image, classes=classes, batch_size=batch_size)
    return _fit(model, Step(classes, batch_size, device.precision), probe)


def _budget_batch_size(model: ModelParams, default: int) -> int:
    return (model.budget and model.budget.batch_size) or default


def _fit(model: ModelParams, step: Step, probe: Probe) -> BudgetResult:
    limits = model.budget.model_dump(exclude={"batch_size"}) if model.budget else {}
    return choose_phi(
        Budget(**limits),
        family=model.family,
        coefficients=model.coefficients.constants,
        resolution=None if model.resolution == "auto" else model.resolution,  # not auto with a budget
        dropout=model.dropout,
        step=step,
        probe=probe,
    )


def build_frozen(model: ModelParams, resolution: int, classes: int) -> Any:
    """Build the Keras model with its pretrained weights, to compare the features of several resolutions."""
    scale = network_scale(model.model_copy(update={"resolution": resolution}))
    return network_model.build_network(scale, classes=classes, weights=initial_weights(model, scale))


def build_feature_network(model: ModelParams) -> Any:
    """Build the pretrained network, without classifier, whose features a review compares.

    A network that would be grown or trained from random weights starts from ImageNet weights instead. If a budget
    chooses the network of the training, the features are those of φ = 0.

    Raises:
        InputError: There are no pretrained weights for the network.
    """
    update: dict[str, Any] = {"budget": None, "phi": 0.0} if model.budget else {}
    update["weights"] = "auto" if model.weights in (None, *WEIGHT_WORDS) else model.weights
    frozen = model.model_copy(update={**update, "grow_from": None})
    scale = network_scale(frozen)
    weights = initial_weights(frozen, scale)
    if weights is None:
        reason = pretrained.why_not_imagenet(scale)
        raise InputError(f"model: a review needs pretrained weights ({reason}); run it with --params=model.phi=0")
    return network_model.build_network(scale, weights=weights, include_top=False)


def measure_ms_per_image(scale: NetworkScale, *, classes: int, batch_size: int) -> float:
    """Measure the prediction time of a network with random weights, in milliseconds per image.

    After a warm-up batch, three batches are timed. The result is from the fastest batch, which other programs disturbed
    least.
    """
    model = network_model.build_network(scale, classes=classes)
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, scale.resolution, scale.resolution, 3), np.uint8)
    model.predict_on_batch(pixels)
    seconds = timeit.repeat(lambda: model.predict_on_batch(pixels), number=1, repeat=3)
    elapsed = 1000 * min(seconds) / batch_size
    logger.info("Measured %s at %d pixels: %.3g ms per image", scale.label, scale.resolution, elapsed)
    return elapsed


def build_untrained(
    splits: pd.DataFrame, network: dict[str, Any], model: ModelParams, training: TrainingParams, registered: str
) -> Any:
    """Build the Keras model with its initial weights. Random weights are drawn with the training seed.

    `network` is the record that the node `choose_network` stored. `registered` is the name of the registered model.
    """
    device = devices.prepare_device(training.precision, training.xla, training.seed, distributed=training.distributed)
    logger.info("Training on %s", device)
    scale, names, training_images = read_scale(network), class_names(splits), int((splits["split"] == "train").sum())
    if (source := parse_growth_source(model.grow_from)) is not None:
        return _grow_model(source, scale, names, training.seed, registered)
    return network_model.build_network(
        scale,
        classes=len(names),
        weights=initial_weights(model, scale),
        batch_norm_momentum=0.99 if network["pretrained"] else statistics_momentum(training, training_images),
        seed=training.seed,
    )


def statistics_momentum(training: TrainingParams, images: int) -> float:
    """Return the configured momentum of moving batch statistics, or a value that averages about a quarter of an epoch.

    The usual momentum of 0.99 averages about 100 steps. If an epoch is shorter, the statistics lag behind the weights,
    and validation of the first epochs is meaningless.
    """
    if training.batch_norm_momentum is not None:
        return training.batch_norm_momentum
    steps = max(1, -(-images // training.batch_size))
    return min(0.99, max(0.7, 1 - 4 / steps))


def _grow_model(source: GrowthSource, scale: NetworkScale, names: list[str], seed: int, registered: str) -> Any:
    small, small_names = _load_source(source, scale, len(names), registered)
    same_classes = small_names is None or small_names == names
    large = net2net.grow_network(small, scale, classes=len(names), keep_classifier=same_classes, seed=seed)
    logger.info("Grew the network from %s to %s weights", f"{small.count_params():,}", f"{large.count_params():,}")
    return large


def _load_source(
    source: GrowthSource, scale: NetworkScale, classes: int, registered: str
) -> tuple[Any, list[str] | None]:
    """Return the smaller network that `grow_from` names, and its class names (None if they are unknown)."""
    if source.imagenet:
        base = net2net_source.base_scale(scale.family, scale.resolution)
        options = {"classes": classes, "include_top": classes == IMAGENET_CLASSES}
        return network_model.build_network(base, weights=pretrained.IMAGENET, **options), None
    if source.version is not None:
        version = load_version(source.name or registered, source.version)
        return version.model, version.class_names
    try:
        return load_archive(Path(str(source.path))), None
    except InputError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"grow_from: {source.path} cannot be loaded ({reason}). Save the model again.") from error
