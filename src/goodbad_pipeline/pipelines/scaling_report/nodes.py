"""Nodes that show how φ changes a network, and compare the results with the paper."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.network_factory import fit_budget, network_scale
from goodbad_pipeline.networks.architecture import IMAGENET_CLASSES
from goodbad_pipeline.networks.budget import phi_range
from goodbad_pipeline.networks.complexity import Cost, count_complexity
from goodbad_pipeline.networks.scaling import BASE_RESOLUTION, Coefficients, NetworkScale, resolve_scale, variants_of
from goodbad_pipeline.params import ModelParams, TrainingParams

if TYPE_CHECKING:
    from goodbad_pipeline.networks.paper import PaperNetwork

logger = logging.getLogger(__name__)
paper = lazy.load("goodbad_pipeline.networks.paper")  # imports Keras

FROM, TO, STEPS = -4.0, 8.0, 20  # range of φ in `trace_phi`, and number of steps per unit of φ
FAMILY = "efficientnet"  # the paper's family, which `trace_phi` uses even if the chosen network is of another family


def tabulate_stages(model: ModelParams, training: TrainingParams, stored_splits: pd.DataFrame | None) -> pd.DataFrame:
    """Return the stages of the chosen network, as in Table 1 of the paper, with the cost of each stage."""
    scale, classes = _choose(model, training, stored_splits)
    counted = count_complexity(scale, classes)
    rows = [asdict(stage.row) | {"stage": str(stage.row.stage)} | _columns(stage.cost) for stage in counted.stages]
    whole = {
        "stage": "all",
        "operator": scale.label,
        "resolution": scale.resolution,
        "channels": rows[-1]["channels"],
        "layers": sum(row["layers"] for row in rows),
    }
    table = pd.DataFrame([*rows, whole | _columns(counted)])
    table["macs_share"] = (table["macs"] / counted.macs).round(4)
    logger.info("%s at %d pixels:\n%s", scale.label, scale.resolution, table.to_string(index=False))
    return table


def _choose(model: ModelParams, training: TrainingParams, splits: pd.DataFrame | None) -> tuple[NetworkScale, int]:
    classes = IMAGENET_CLASSES if splits is None else len(class_names(splits))
    where = "as in the paper, because no splits are stored" if splits is None else "as in the stored splits"
    logger.info("The network has %d classes (%s)", classes, where)
    result = fit_budget(model, training, classes)
    return (result.scale if result else network_scale(model)), classes


def _columns(cost: Cost) -> dict[str, int]:
    return {"parameters": cost.parameters, "macs": cost.macs, "activations": cost.activations}


def compare_with_paper() -> pd.DataFrame:
    """Compare the costs in Table 2 of the paper with computed costs.

    No costs are computed for networks that keras.applications lacks.
    """
    whole = [f"{measure}_{origin}" for measure in ("parameters", "flops") for origin in ("paper", "counted")]
    table = pd.DataFrame([_compare(network) for network in paper.NETWORKS]).astype(dict.fromkeys(whole, "Int64"))
    counted = table[table["source"] == "counted"]
    ratios = counted[["parameters_ratio", "flops_ratio"]]
    logger.info(
        "The computed costs of %d networks are %.3f to %.3f times the costs in the paper",
        len(counted),
        ratios.min(axis=None),
        ratios.max(axis=None),
    )
    return table


def _compare(network: PaperNetwork) -> dict[str, Any]:
    row: dict[str, Any] = {
        "network": network.name,
        "family": "EfficientNet" if network.variant else "other",
        "top1_paper": network.top1,
        "parameters_paper": round(network.parameters * 1e6),
        "flops_paper": None if network.flops is None else round(network.flops * 1e9),
    }
    if network.variant:
        cost: Cost = count_complexity(resolve_scale(variant=network.variant))
    elif network.application:
        cost = paper.count_application(network.application)
    else:
        return row | {"source": "quoted"}
    return row | {
        "parameters_counted": cost.parameters,
        "parameters_ratio": round(cost.parameters / row["parameters_paper"], 4),
        "flops_counted": cost.macs,
        "flops_ratio": round(cost.macs / row["flops_paper"], 4),
        "source": "counted",
    }


def trace_phi(model: ModelParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables: the size and cost of networks by φ, and the size and cost of B0 to B7.

    The published sizes follow φ only roughly. So the second table also has three values of φ for each network,
    computed from the depth, the width and the resolution.
    """
    coefficients = model.coefficients.constants
    logger.info("Raising φ by 1 multiplies the operations by α·β²·γ² = %.3f", coefficients.product)
    low, high = phi_range(coefficients)
    steps = range(math.ceil(max(low, FROM) * STEPS), math.floor(min(high, TO) * STEPS) + 1)
    base = count_complexity(resolve_scale(phi=0, family=FAMILY), IMAGENET_CLASSES)
    curve = pd.DataFrame([_point(step / STEPS, coefficients, base) for step in steps])
    scales = [(variant.phi, resolve_scale(variant=variant.name)) for variant in variants_of(FAMILY)]
    published = pd.DataFrame(
        [
            {
                "variant": scale.label,
                "phi": phi,
                **_sizes(scale, base),
                "phi_of_depth": _exponent(scale.depth, coefficients.alpha),
                "phi_of_width": _exponent(scale.width, coefficients.beta),
                "phi_of_resolution": _exponent(scale.resolution / BASE_RESOLUTION, coefficients.gamma),
            }
            for phi, scale in scales
        ]
    )
    return curve, published


def _point(phi: float, coefficients: Coefficients, base: Cost) -> dict[str, float]:
    scale = resolve_scale(phi=phi, family=FAMILY, coefficients=coefficients)
    sizes = _sizes(scale, base)
    return {
        "phi": phi,
        **sizes,
        "doubling": 2**phi,
        "over_doubling": sizes["macs_ratio"] / 2**phi,
        "product": coefficients.product**phi,
        "over_product": sizes["macs_ratio"] / coefficients.product**phi,
    }


def _sizes(scale: NetworkScale, base: Cost) -> dict[str, float]:
    cost = count_complexity(scale, IMAGENET_CLASSES)
    return {
        "depth": scale.depth,
        "width": scale.width,
        "resolution": scale.resolution,
        **_columns(cost),
        "macs_ratio": cost.macs / base.macs,
        "activations_ratio": cost.activations / base.activations,
    }


def _exponent(factor: float, base: float) -> float | None:
    return None if base == 1 else math.log(factor) / math.log(base)


def draw_accuracy(paper_comparison: pd.DataFrame) -> figures.Figure:
    """Draw the accuracy of each network against its cost."""
    return figures.accuracy_figure(paper_comparison)


def draw_scaling(phi_curve: pd.DataFrame, published_variants: pd.DataFrame) -> tuple[figures.Figure, figures.Figure]:
    """Draw depth, width and resolution by φ, and how far the operations deviate from 2^φ."""
    return figures.coefficients_figure(phi_curve, published_variants), figures.law_figure(phi_curve)
