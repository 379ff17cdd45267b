"""From a grid of α, β, γ to the ones that serve these images best, as far as the images can tell."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import lazy_loader as lazy
import pandas as pd

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.experiments.analysis import compare, explain_interval, rank_networks, summarise_trials
from goodbad_pipeline.experiments.trial_spec import TrialCache
from goodbad_pipeline.images.pixels import PixelCache
from goodbad_pipeline.images.splits import class_names, development_part
from goodbad_pipeline.network_factory import grid_candidates, trial_base_scale
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.params import ImageParams, ScalingSearchParams, TrainingParams

logger = logging.getLogger(__name__)
trials = lazy.load("goodbad_pipeline.experiments.trials", suppress_warning=True)

FAIR = 1.05
"""How many times the operations of another a candidate may take for a comparison of shapes."""


def list_candidates(splits: pd.DataFrame, scaling_search: ScalingSearchParams) -> pd.DataFrame:
    """Tabulate the candidates: coefficients, their product, and what each network costs."""
    classes = len(class_names(development_part(splits)))  # of what the trials see
    base = count_complexity(trial_base_scale(scaling_search), classes).macs
    grid, rows = grid_candidates(scaling_search), []
    for candidate in grid:
        cost = count_complexity(candidate.scale, classes)
        scale = {name: getattr(candidate.scale, name) for name in ("depth", "width", "resolution")}
        rows.append(
            {
                "network": candidate.name,
                **asdict(candidate.coefficients),
                "product": candidate.coefficients.product,
                **scale,
                "parameters": cost.parameters,
                "macs": cost.macs,
                "ratio": cost.macs / base,
            }
        )
    far = [candidate.name for candidate in grid if not candidate.coefficients.doubles]
    if far:
        logger.warning("α·β²·γ² is more than 10%% from 2 for %d of %d candidates: %s", len(far), len(rows), far)
    return pd.DataFrame(rows)


def train_candidates(
    candidates: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageParams,
    training: TrainingParams,
    scaling_search: ScalingSearchParams,
    pixel_cache: PixelCache,
    trial_record: TrialCache,
) -> pd.DataFrame:
    """Train every candidate from every seed, and measure each on the validation split."""
    return trials.try_networks(candidates, splits, images, training, scaling_search, pixel_cache, trial_record)


def rank_candidates(
    candidates: pd.DataFrame, trials: pd.DataFrame, splits: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any], str]:
    """Rank by mean validation accuracy; say what the ranking carries; write the winner as parameters to paste."""
    validation = splits[splits["split"] == "validation"]
    summary = summarise_trials(trials, validation["group"].nunique())
    ranking = candidates.merge(rank_networks(summary), on="network").sort_values("rank")
    first, *others = ranking["network"]
    report = {
        "first": first,
        "conclusion": compare(ranking, first, others) if others else f"{first} was the only candidate.",
        "costs": _compare_costs(ranking["ratio"]),
        "intervals": explain_interval(ranking, len(validation)),
        "ranking": [f"{row.rank}. {row.network}: {row.accuracy:.3f}" for row in ranking.itertuples()],
    }
    columns = ["rank", *(name for name in ranking.columns if name != "rank")]
    return ranking[columns], report, _snippet(ranking.iloc[0], report["conclusion"])


def _compare_costs(ratios: pd.Series) -> str:
    """Say how far the operations of the candidates, multiples of the base's, lie apart."""
    least, most = ratios.min(), ratios.max()
    fair = "they cost about the same" if most <= FAIR * least else "what wins may win by its operations"
    return f"The candidates cost ×{least:.2f} to ×{most:.2f} of the base: {fair}."


def _snippet(winner: pd.Series, conclusion: str) -> str:
    """YAML for conf/local/parameters.yml."""
    lines = [
        "# Found by kedro run --pipeline=scaling_search; paste into conf/local/parameters.yml.",
        f"# {conclusion}",
        f"# α·β²·γ² is {winner['product']:.3f}; counted, the operations are ×{winner['ratio']:.2f}.",
        "model:",
        "  coefficients:",
        *(f"    {name}: {winner[name]:g}" for name in ("alpha", "beta", "gamma")),
    ]
    return "\n".join(lines) + "\n"


def draw_ranking(ranking: pd.DataFrame, trials: pd.DataFrame) -> figures.Figure:
    """Show every candidate with its trials and its interval."""
    return figures.ranking_figure(ranking, trials, "Compound coefficients at φ = 1, by validation accuracy")
