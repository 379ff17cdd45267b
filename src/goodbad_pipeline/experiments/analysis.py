"""Statistics of the trials of several networks: means, intervals, ranks, and sentences that describe them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

LEVEL = 0.95
SUMMARY_COLUMNS = ["seeds", "groups", "accuracy", "spread", "low", "high", "val_loss", "seconds", "same_as"]
_NORMAL_QUANTILE = 1.959964  # of the normal distribution, for the level above


def summarise_trials(trials: pd.DataFrame, groups: int) -> pd.DataFrame:
    """Compute mean, spread and interval of each network's validation accuracy, and keep the order of the networks.

    The interval combines a t interval over the seeds with an Agresti-Coull interval over the images: the squares of the
    two half-widths are added. The t interval uses a spread pooled over all networks, because two or three seeds of one
    network say little about the spread. The Agresti-Coull interval counts each group of images as one draw, as if a
    network classified all images of a group correctly, or none. Groups with mixed results make the interval too wide.
    With one seed per network there is no interval.

    `trials` has one row per trial: network, seed, val_accuracy in [0, 1], val_loss, seconds, cache_key. Networks with
    equal cache keys have the same layers after rounding, and count once in the pooled spread.
    `groups` is the number of groups of related images (such as near-duplicates) in the validation split.

    Returns:
        One row per network: network, seeds (how many), groups, accuracy (mean), spread (standard deviation over its
        seeds), low and high in [0, 1], val_loss and seconds (means), and same_as (the earlier network with the same
        layers). Spread, low, high and same_as may be missing.
    """
    trials = trials.rename(columns={"fingerprint": "cache_key"})  # the name in tables that older versions stored
    summary = trials.groupby("network", sort=False).agg(
        seeds=("seed", "size"),
        accuracy=("val_accuracy", "mean"),
        spread=("val_accuracy", "std"),
        val_loss=("val_loss", "mean"),
        seconds=("seconds", "mean"),
    )
    summary = summary.assign(groups=groups, same_as=_find_twins(trials))
    half = _half_widths(summary, groups)
    summary["low"] = (summary["accuracy"] - half).clip(lower=0.0)
    summary["high"] = (summary["accuracy"] + half).clip(upper=1.0)
    return summary[SUMMARY_COLUMNS].reset_index()


def rank_networks(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort the networks by mean accuracy, then by lower validation loss, and add a column `rank` that starts at 1."""
    ranked = summary.sort_values(["accuracy", "val_loss"], ascending=[False, True], kind="stable", ignore_index=True)
    return ranked.assign(rank=np.arange(1, len(ranked) + 1))


def explain_interval(summary: pd.DataFrame, images: int) -> str:
    """Describe how the intervals of `summarise_trials` are computed."""
    distinct, degrees = _distinct(summary)
    if not degrees:
        return f"No intervals: one seed per network does not show how much seeds differ ({images} validation images)."
    groups = summary["groups"].iloc[0]
    return (
        f"Intervals: {LEVEL:.0%}, mean ± the root of the summed squares of two half-widths. One covers the seeds (t, "
        f"spread pooled over {len(distinct)} networks, {degrees} degrees of freedom), the other the {images} "
        f"validation images in {groups} groups (Agresti and Coull, each group counted as one image)."
    )


def compare(summary: pd.DataFrame, one: str, others: Sequence[str]) -> str:
    """Describe whether the interval of the network `one` lies above, below or across the intervals of `others`."""
    means, lows, highs = (summary.set_index("network")[name] for name in ("accuracy", "low", "high"))
    start = f"{one} ({means[one]:.3f})"
    if np.isnan(lows[one]):
        return f"{start}: one seed per network allows no comparison; give more seeds."
    above = [name for name in others if lows[one] > highs[name]]
    below = [name for name in others if highs[one] < lows[name]]
    level = [name for name in others if name not in above + below]
    apart = f"and the intervals, from {summary['groups'].iloc[0]} groups of images, do not overlap"
    sides = {"above": above, "below": below}
    parts = [f"lies {side} {_listed(means, names)}, {apart}" for side, names in sides.items() if names]
    if level:
        parts.append(f"has an interval that overlaps with {_listed(means, level)}: these data show no difference")
    return f"{start} {'; it '.join(parts)}."


def rank_finalists(trials: pd.DataFrame, metric: str, *, larger_is_better: bool, groups: int) -> pd.DataFrame:
    """Rank the finalists of a hyperparameter search, which were trained again from several seeds.

    The order is by the number of complete trainings, then by the mean of the metric, then by the number of the trial.

    `trials` has the columns that `summarise_trials` needs, and the columns trial, values and the metric.

    Returns:
        One row per finalist: rank, network, trial, score (mean of the metric), score_spread (standard deviation over
        its seeds), values, and the columns of `summarise_trials` except same_as.
    """
    scores = trials.groupby("network", sort=False).agg(
        trial=("trial", "first"), score=(metric, "mean"), score_spread=(metric, "std"), values=("values", "first")
    )
    table = scores.reset_index().merge(summarise_trials(trials, groups), on="network").drop(columns="same_as")
    ranked = table.sort_values(["seeds", "score", "trial"], ascending=[False, not larger_is_better, True])
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    return ranked.reset_index(drop=True)


def conclude(ranking: pd.DataFrame, trials: pd.DataFrame, metric: str, groups: int) -> str:
    """Describe the result of a hyperparameter search; `ranking` is the result of `rank_finalists` for `trials`."""
    best, present = ranking.iloc[0], ranking[ranking["trial"] == 0]
    seeds = f"mean {metric} over {best['seeds']} seed{'s' if best['seeds'] > 1 else ''}"
    if best["trial"] == 0:
        result = f"Nothing better than the present parameters was found ({seeds}: {best['score']:.4f})."
    elif present.empty:
        result = (
            f"{best['network']} is best ({seeds}: {best['score']:.4f}). "
            "No training with the present parameters was complete."
        )
    else:
        result = f"{best['network']} is best ({seeds}: {best['score']:.4f}, present {present['score'].iloc[0]:.4f})."
        comparison = compare(summarise_trials(trials, groups), best["network"], present["network"].tolist())
        result += f" By accuracy, {comparison}"
    return (
        f"{result} The score is optimistic, because the same validation images selected the parameters; the test split "
        "was not used."
    )


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested dictionaries, as in parameter files."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, leaf = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[leaf] = value
    return tree


def _find_twins(trials: pd.DataFrame) -> pd.Series:
    """For each network, return the first earlier network with the same layers, or a missing value."""
    networks = trials.drop_duplicates("network").set_index("network", drop=False)
    first = networks.groupby("cache_key")["network"].transform("first")
    return first.where(first != first.index)


def _half_widths(summary: pd.DataFrame, groups: int) -> pd.Series:
    distinct, degrees = _distinct(summary)
    if not degrees:
        return pd.Series(np.nan, index=summary.index)
    pooled = float((distinct["spread"].fillna(0) ** 2 * (distinct["seeds"] - 1)).sum()) / degrees
    over_seeds = float(student.ppf((1 + LEVEL) / 2, degrees)) ** 2 * pooled / summary["seeds"]
    count = groups + _NORMAL_QUANTILE**2
    share = (summary["accuracy"] * groups + _NORMAL_QUANTILE**2 / 2) / count
    over_groups = _NORMAL_QUANTILE**2 * share * (1 - share) / count
    return (over_seeds + over_groups) ** 0.5


def _distinct(summary: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the networks whose layers no earlier network has, and the degrees of freedom of the pooled spread."""
    distinct = summary[summary["same_as"].isna()]
    return distinct, int((distinct["seeds"] - 1).sum())


def _listed(means: pd.Series, names: Sequence[str]) -> str:
    texts = [f"{name} ({means[name]:.3f})" for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
