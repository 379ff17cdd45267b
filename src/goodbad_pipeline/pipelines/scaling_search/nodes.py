"""Nodes of the search for α, β and γ: list grid points with α·β²·γ² near 2, train their networks, and rank them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import pandas as pd

from goodbad_pipeline import lazy
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.experiments.trial_spec import TrialCache
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.network_factory import grid_candidates, trial_base_scale
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.params import ImageParams, ScalingSearchParams, TrainingParams
from goodbad_pipeline.training.stopping import StopRequest

analysis = lazy.load("goodbad_pipeline.experiments.analysis")
experiment = lazy.load("goodbad_pipeline.experiments.trials")

logger = logging.getLogger(__name__)

EQUAL_COST = 1.05  # candidates cost about the same if the highest cost is at most this multiple of the lowest


def list_candidates(splits: pd.DataFrame, scaling_search: ScalingSearchParams) -> pd.DataFrame:
    """Return a table of the candidates: the coefficients, their product, and the cost of each network."""
    classes = len(class_names(development_part(splits)))
    base = count_complexity(trial_base_scale(scaling_search), classes).macs
    candidates, rows = grid_candidates(scaling_search), []
    for candidate in candidates:
        cost = count_complexity(candidate.scale, classes)
        rows.append(
            {
                "network": candidate.name,
                **asdict(candidate.coefficients),
                "product": candidate.coefficients.product,
                "depth": candidate.scale.depth,
                "width": candidate.scale.width,
                "resolution": candidate.scale.resolution,
                "parameters": cost.parameters,
                "macs": cost.macs,
                "ratio": cost.macs / base,
            }
        )
    far = [candidate.name for candidate in candidates if not candidate.coefficients.doubles]
    if far:
        logger.warning(
            "α·β²·γ² differs by more than 10%% from 2 for %d of %d candidates, so the candidates do not cost the same. "
            "A lower scaling_search.tolerance excludes these candidates: %s",
            *(len(far), len(rows), far),
        )
    return pd.DataFrame(rows)


def train_candidates(
    candidates: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    scaling_search: ScalingSearchParams,
    pixel_cache: PixelCache,
    trial_cache: TrialCache,
    stop_request: StopRequest,
) -> pd.DataFrame:
    """Train every candidate from every seed, and measure it on the validation split."""
    return experiment.train_networks(
        candidates, splits, images, training, scaling_search, pixel_cache, trial_cache, stop_request
    )


def rank_candidates(
    candidates: pd.DataFrame, trials: pd.DataFrame, splits: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any], str]:
    """Rank the candidates by mean validation accuracy; return ranking, report, and the best α, β, γ as YAML."""
    validation = splits[splits["split"] == "validation"]
    summary = analysis.summarise_trials(trials, validation["group"].nunique())
    ranking = candidates.merge(analysis.rank_networks(summary), on="network").sort_values("rank")
    first, *others = ranking["network"]
    report = {
        "first": first,
        "conclusion": analysis.compare(ranking, first, others) if others else f"{first} was the only candidate.",
        "costs": _compare_costs(ranking["ratio"]),
        "intervals": analysis.explain_interval(ranking, len(validation)),
        "ranking": [f"{row.rank}. {row.network}: {row.accuracy:.3f}" for row in ranking.itertuples()],
    }
    columns = ["rank", *(name for name in ranking.columns if name != "rank")]
    return ranking[columns], report, _snippet(ranking.iloc[0], report["conclusion"])


def draw_ranking(ranking: pd.DataFrame, trials: pd.DataFrame) -> figures.Figure:
    """Draw each candidate with its trials and its interval."""
    return figures.ranking_figure(ranking, trials, "Compound coefficients at φ = 1, by validation accuracy")


def _compare_costs(ratios: pd.Series) -> str:
    """Describe how much the costs of the candidates differ; `ratios` are multiples of the cost of the base network."""
    least, most = ratios.min(), ratios.max()
    verdict = "they cost about the same" if most <= EQUAL_COST * least else "a higher cost may explain a higher rank"
    return f"The candidates cost ×{least:.2f} to ×{most:.2f} of the base: {verdict}."


def _snippet(winner: pd.Series, conclusion: str) -> str:
    lines = [
        "# Found by kedro run --pipeline=scaling_search; paste into conf/local/parameters.yml.",
        f"# {conclusion}",
        f"# α·β²·γ² is {winner['product']:.3f}; the computed operations are ×{winner['ratio']:.2f} of the base.",
        "model:",
        "  coefficients:",
        *(f"    {name}: {winner[name]:g}" for name in ("alpha", "beta", "gamma")),
    ]
    return "\n".join(lines) + "\n"
