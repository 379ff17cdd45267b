"""One dimension against all three at equal cost, on these images (the paper's Figure 8)."""

from __future__ import annotations

import math
from typing import Any

import lazy_loader as lazy
import pandas as pd

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.experiments.analysis import compare, explain_interval, summarise_trials
from goodbad_pipeline.experiments.trial_spec import TrialCache
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.network_factory import trial_base_scale
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.equal_flops import MatchedNetwork, match_macs
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale
from goodbad_pipeline.params import ImageParams, ScalingStudyParams, TrainingParams

trials = lazy.load("goodbad_pipeline.experiments.trials", suppress_warning=True)

BASE = "base"
# Table 7: B0 and what grew out of it, operations in billions and top-1 accuracy on ImageNet.
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
PAPER_MULTIPLE = 4.5
"""Its larger networks cost 1.8 of B0's 0.4 billion."""
NEAR = 1.25


def match_networks(
    splits: pd.DataFrame, scaling_study: ScalingStudyParams, coefficients: dict[str, float]
) -> pd.DataFrame:
    """Tabulate the base and, for each multiple of its cost and each dimension, the network that comes closest to it."""
    classes = len(class_names(development_part(splits)))  # of what the trials see
    base = trial_base_scale(scaling_study)
    rows = [_row(BASE, BASE, 1.0, 1.0, base, 1.0, classes)]
    for match in _matches(scaling_study, coefficients, classes):
        cells = (match.dimension, match.multiple, match.factor, match.scale, match.ratio)
        rows.append(_row(_name(match), *cells, classes))
    table = pd.DataFrame(rows)
    # One dimension alone has no such product.
    product = Coefficients(**coefficients).product
    return table.assign(product=table["dimension"].map({"compound": product}))


def train_networks(
    networks: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    scaling_study: ScalingStudyParams,
    pixel_cache: PixelCache,
    trial_record: TrialCache,
) -> pd.DataFrame:
    """Train every network from every seed, and measure each on the validation split."""
    return trials.try_networks(networks, splits, images, training, scaling_study, pixel_cache, trial_record)


def compare_networks(
    networks: pd.DataFrame, trials: pd.DataFrame, splits: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Put the results beside the paper's, and say which differences these data carry."""
    validation = splits[splits["split"] == "validation"]
    table = networks.merge(summarise_trials(trials, validation["group"].nunique()), on="network")
    # Against the base alone a dimension is held in the last sentence.
    grown = [rows for _, rows in table[table["dimension"] != BASE].groupby("multiple") if len(rows) > 1]
    report = {
        "conclusions": [
            *(_conclude(table, rows) for rows in grown),
            compare(table, BASE, [name for name in table["network"] if name != BASE]),
        ],
        "intervals": explain_interval(table, len(validation)),
        "paper": "Table 7: ImageNet, B0 and four networks of 4.5 times its operations; it gives no intervals.",
    }
    return table.merge(_paper_beside(table["multiple"]), on=["dimension", "multiple"], how="left"), report


def _paper_beside(multiples: pd.Series) -> pd.DataFrame:
    """The paper's rows with the multiple they stand beside: the closest to 4.5, or none where none is near."""
    near = min(multiples, key=lambda multiple: abs(math.log(multiple / PAPER_MULTIPLE)))
    beside = near if PAPER_MULTIPLE / NEAR <= near <= PAPER_MULTIPLE * NEAR else math.nan
    return PAPER.assign(multiple=[1.0] + [beside] * (len(PAPER) - 1))


def draw_study(study: pd.DataFrame) -> figures.Figure:
    """Show accuracy against operations, beside the paper's."""
    ratio = PAPER["paper_billion_flops"] / PAPER["paper_billion_flops"].iloc[0]
    return figures.study_figure(study, PAPER.assign(ratio=ratio, accuracy=PAPER["paper_top1"]))


def _matches(study: ScalingStudyParams, coefficients: dict[str, float], classes: int) -> list[MatchedNetwork]:
    constants = Coefficients(**coefficients)
    return [
        match_macs(trial_base_scale(study), dimension, multiple, constants, classes)
        for multiple in sorted(set(study.multiples))
        for dimension in dict.fromkeys(study.dimensions)
    ]


def _name(match: MatchedNetwork) -> str:
    return f"{match.dimension} at ×{match.multiple:g}"


def _row(
    name: str, dimension: str, multiple: float, factor: float, scale: NetworkScale, ratio: float, classes: int
) -> dict[str, Any]:
    cost = count_complexity(scale, classes)
    return {
        "network": name,
        "dimension": dimension,
        "multiple": multiple,
        "factor": factor,
        "depth": scale.depth,
        "width": scale.width,
        "resolution": scale.resolution,
        "layers": sum(stage.row.layers for stage in cost.stages),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "ratio": ratio,
    }


def _conclude(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Hold all three dimensions, or else the first, against the others of equal cost."""
    names = rows["network"].tolist()
    one = next(iter(rows.loc[rows["dimension"] == "compound", "network"]), names[0])
    return compare(table, one, [name for name in names if name != one])
