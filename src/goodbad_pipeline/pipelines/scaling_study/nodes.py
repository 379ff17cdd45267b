"""Nodes of the scaling study, which scales one or all three dimensions at equal cost (the paper's Figure 8)."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.experiments.trial_spec import TrialCache
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.network_factory import trial_base_scale
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling_candidates import MatchedNetwork, match_macs
from goodbad_pipeline.params import CoefficientParams, ImageParams, ScalingStudyParams, TrainingParams
from goodbad_pipeline.training.stopping import StopRequest

analysis = lazy.load("goodbad_pipeline.experiments.analysis")
experiment = lazy.load("goodbad_pipeline.experiments.trials")

BASE = "base"
PAPER = pd.DataFrame(
    [
        (BASE, "B0", 0.4, 0.773),
        ("depth", "depth ×4", 1.8, 0.790),
        ("width", "width ×2", 1.8, 0.789),
        ("resolution", "resolution ×2", 1.9, 0.791),
        ("compound", "depth ×1.4, width ×1.2, resolution ×1.3", 1.8, 0.811),
    ],
    columns=["dimension", "paper_network", "paper_billion_flops", "paper_top1"],
)
"""Table 7 of the paper: operations in billions and top-1 accuracy on ImageNet of B0 and four larger networks."""
PAPER_MULTIPLE = 4.5  # cost of the paper's larger networks in multiples of B0: about 1.8 to 0.4 billion operations
NEAR = 1.25  # the paper's rows are shown next to a multiple that differs from the paper's by at most this factor


def match_networks(
    splits: pd.DataFrame, scaling_study: ScalingStudyParams, coefficients: CoefficientParams
) -> pd.DataFrame:
    """Return a table of the base network and the scaled networks.

    There is one scaled network per dimension and value of ``scaling_study.multiples``. This value is the approximate
    cost of the scaled network divided by the cost of the base network.
    """
    classes = len(class_names(development_part(splits)))
    constants, base = coefficients.constants, trial_base_scale(scaling_study)
    matches = [
        match_macs(base, dimension, multiple, constants, classes)
        for multiple in sorted(set(scaling_study.multiples))
        for dimension in dict.fromkeys(scaling_study.dimensions)
    ]
    table = pd.DataFrame([_row(match, classes) for match in (MatchedNetwork(BASE, 1.0, 1.0, base, 1.0), *matches)])
    return table.assign(product=table["dimension"].map({"compound": constants.product}))


def train_networks(
    networks: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    scaling_study: ScalingStudyParams,
    pixel_cache: PixelCache,
    trial_cache: TrialCache,
    stop_request: StopRequest,
) -> pd.DataFrame:
    """Train every network from every seed, and measure it on the validation split."""
    return experiment.train_networks(
        networks, splits, images, training, scaling_study, pixel_cache, trial_cache, stop_request
    )


def compare_networks(
    networks: pd.DataFrame, trials: pd.DataFrame, splits: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a table of results (of this study and of the paper), and a report of differences between the networks."""
    validation = splits[splits["split"] == "validation"]
    table = networks.merge(analysis.summarise_trials(trials, validation["group"].nunique()), on="network")
    # A network whose cost no other network shares is compared only with the base network (last conclusion).
    same_cost = [rows for _, rows in table[table["dimension"] != BASE].groupby("multiple") if len(rows) > 1]
    larger = [name for name in table["network"] if name != BASE]
    report = {
        "conclusions": [*(_conclude(table, rows) for rows in same_cost), analysis.compare(table, BASE, larger)],
        "intervals": analysis.explain_interval(table, len(validation)),
        "paper": "Table 7 compares B0 and four networks of 4.5 times its operations on ImageNet, without intervals.",
    }
    return table.merge(_paper_rows(table["multiple"]), on=["dimension", "multiple"], how="left"), report


def draw_study(study: pd.DataFrame) -> figures.Figure:
    """Draw accuracy against operations, for these networks and the paper's networks."""
    ratio = PAPER["paper_billion_flops"] / PAPER["paper_billion_flops"].iloc[0]
    return figures.study_figure(study, PAPER.assign(ratio=ratio, accuracy=PAPER["paper_top1"]))


def _row(match: MatchedNetwork, classes: int) -> dict[str, Any]:
    cost = count_complexity(match.scale, classes)
    return {
        "network": BASE if match.dimension == BASE else f"{match.dimension} at ×{match.multiple:g}",
        "dimension": match.dimension,
        "multiple": match.multiple,
        "factor": match.factor,
        "depth": match.scale.depth,
        "width": match.scale.width,
        "resolution": match.scale.resolution,
        "layers": sum(stage.row.layers for stage in cost.stages),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "ratio": match.ratio,
    }


def _conclude(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Compare the compound network, if any, with the other networks of equal cost."""
    names = rows["network"].tolist()
    one = next(iter(rows.loc[rows["dimension"] == "compound", "network"]), names[0])
    return analysis.compare(table, one, [name for name in names if name != one])


def _paper_rows(multiples: pd.Series) -> pd.DataFrame:
    """Return the paper's results, with the column ``multiple`` for merging with this study's results.

    The column is NaN if no multiple of this study is near the cost of the paper's larger networks.
    """
    closest = min(multiples, key=lambda multiple: abs(math.log(multiple / PAPER_MULTIPLE)))
    shown = closest if PAPER_MULTIPLE / NEAR <= closest <= PAPER_MULTIPLE * NEAR else math.nan
    return PAPER.assign(multiple=[1.0] + [shown] * (len(PAPER) - 1))
