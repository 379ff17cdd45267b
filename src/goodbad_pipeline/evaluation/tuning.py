"""What a search for parameters carries: finalists in order, and sentences that claim no more than that."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from goodbad_pipeline.evaluation.trials import compare, summarise_trials


def rank_finalists(trials: pd.DataFrame, metric: str, *, larger_is_better: bool, groups: int) -> pd.DataFrame:
    """Rank by the mean of the metric over the seeds; the earlier trial is first among equals, so trial 0 of them all.

    A finalist that some seed spoilt is ranked behind those that every seed served.

    Args:
        trials: One row a training: network (a name), trial, seed, values, fingerprint, seconds, and the measures.
        metric: What is ranked by.
        larger_is_better: Whether more of it is better.
        groups: Groups of validation pictures, at least 1.

    Returns:
        One row a finalist: rank, network, trial, score (mean of the metric), score_spread (standard deviation over its
        seeds), what `summarise_trials` says of its accuracy, and values.
    """
    scores = trials.groupby("network", sort=False).agg(
        trial=("trial", "first"), score=(metric, "mean"), score_spread=(metric, "std"), values=("values", "first")
    )
    table = scores.reset_index().merge(summarise_trials(trials, groups), on="network")
    order = table.assign(worth=table["score"] * (-1 if larger_is_better else 1))
    ranked = table.loc[order.sort_values(["seeds", "worth", "trial"], ascending=[False, True, True]).index]
    ranked = ranked.drop(columns=["same_as"])
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    return ranked.reset_index(drop=True)


def conclude(ranking: pd.DataFrame, trials: pd.DataFrame, metric: str, groups: int) -> str:
    """Say in a few sentences what was found, and how far it can be relied on.

    Args:
        ranking: What `rank_finalists` gave.
        trials: What it was given.
        metric: What was ranked by.
        groups: Groups of validation pictures.
    """
    best = ranking.iloc[0]
    present = ranking[ranking["trial"] == 0]
    seeds = f"mean {metric} over {best['seeds']} seed{'s' if best['seeds'] > 1 else ''}"
    if best["trial"] == 0:
        found = f"Nothing better than the present parameters was found ({seeds}: {best['score']:.4f})."
    elif present.empty:
        found = f"{best['network']} is best ({seeds}: {best['score']:.4f}); the present parameters do not train."
    else:
        found = f"{best['network']} is best ({seeds}: {best['score']:.4f}, present {present['score'].iloc[0]:.4f})."
        summary = summarise_trials(trials, groups)
        found += f" By accuracy, {compare(summary, best['network'], [present['network'].iloc[0]])}"
    return (
        f"{found} It was chosen on the pictures it is measured on, which flatters it; the test split was not looked at."
    )


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into groups, as parameter files have them."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, leaf = name.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = value
    return tree
