"""What trials of several networks carry: means, intervals, ranks, and sentences that claim no more than that."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

LEVEL = 0.95
_NORMAL = 1.959964  # of the same level
SUMMARY_COLUMNS = ["seeds", "groups", "accuracy", "spread", "low", "high", "val_loss", "seconds", "same_as"]


def summarise_trials(trials: pd.DataFrame, groups: int) -> pd.DataFrame:
    """Mean, spread and interval of each network's validation accuracy, in the order of the trials.

    The interval holds two doubts, added in squares. Other seeds would have given something else: a t interval, its
    spread pooled over all networks, because two or three seeds alone say little of it. Other images would have too:
    the interval of Agresti and Coull for as many draws as there are groups, for images of one group are right or
    wrong together; where they are not, the interval is wider than need be. With one seed a network nothing is known of
    the first doubt, and there is no interval.

    Args:
        trials: One row a trial: network, seed, val_accuracy in [0, 1], val_loss, seconds, and fingerprint, which is
            equal for networks that round to the same layers: their trials are the same, and count once.
        groups: Groups of validation images, at least 1.

    Returns:
        One row a network: network, seeds (how many), groups, accuracy (mean), spread (standard deviation over its
        seeds), low and high in [0, 1], val_loss and seconds (means), and same_as (the earlier network with the same
        layers). Spread, low, high and same_as are missing where there are none.
    """
    summary = trials.groupby("network", sort=False).agg(
        seeds=("seed", "size"),
        accuracy=("val_accuracy", "mean"),
        spread=("val_accuracy", "std"),
        val_loss=("val_loss", "mean"),
        seconds=("seconds", "mean"),
    )
    summary = summary.assign(groups=groups, same_as=_twins(trials))
    half = _half_widths(summary, groups)
    summary["low"] = (summary["accuracy"] - half).clip(lower=0.0)
    summary["high"] = (summary["accuracy"] + half).clip(upper=1.0)
    return summary[SUMMARY_COLUMNS].reset_index()


def _twins(trials: pd.DataFrame) -> pd.Series:
    """The earlier network that each network equals, by name; missing where it is the first."""
    first = trials.drop_duplicates("network").set_index("network")["fingerprint"]
    owners = first.drop_duplicates().reset_index().set_index("fingerprint")["network"]
    twins = first.map(owners)
    return twins.where(twins != twins.index)


def rank_networks(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort by mean accuracy, the lower validation loss first among equals, and number from 1 in a column `rank`."""
    ranked = summary.sort_values(["accuracy", "val_loss"], ascending=[False, True], kind="stable", ignore_index=True)
    return ranked.assign(rank=np.arange(1, len(ranked) + 1))


def explain_interval(summary: pd.DataFrame, images: int) -> str:
    """Say in one sentence what the intervals of `summarise_trials` are."""
    distinct = _distinct(summary)
    degrees, groups = _degrees(distinct), summary["groups"].iloc[0]
    if not degrees:
        return f"No intervals: from one seed a network nobody knows how far seeds lie apart ({images} images)."
    return (
        f"Intervals: mean ± a half-width of {LEVEL:.0%} over seeds (t, spread pooled over {len(distinct)} networks, "
        f"{degrees} degrees of freedom) and over the {groups} groups of the {images} validation images (Agresti "
        "and Coull), added in squares; a group counts as one image, however many it has."
    )


def compare(summary: pd.DataFrame, one: str, others: Sequence[str]) -> str:
    """Say of one network which others it is told apart from: those whose intervals lie wholly above or below its own.

    Args:
        summary: What `summarise_trials` gave, ranked or not.
        one: Network that the sentence is about.
        others: Networks that it is held against, at least one.
    """
    means, lows, highs = (
        dict(zip(summary["network"], summary[name], strict=True)) for name in ("accuracy", "low", "high")
    )
    start = f"{one} ({means[one]:.3f})"
    if math.isnan(lows[one]):
        return f"{start}: one seed a network carries no comparison; give more seeds."
    above = [name for name in others if lows[one] > highs[name]]
    below = [name for name in others if highs[one] < lows[name]]
    level = [name for name in others if name not in above + below]
    parts, apart = [], f"and the intervals, from {summary['groups'].iloc[0]} groups of images, do not overlap"
    if above:
        parts.append(f"lies above {_listed(means, above)}, {apart}")
    if below:
        parts.append(f"lies below {_listed(means, below)}, {apart}")
    if level:
        parts.append(f"overlaps in its interval with {_listed(means, level)}: these data do not tell them apart")
    return f"{start} {'; it '.join(parts)}."


def _listed(means: Mapping[str, float], names: Sequence[str]) -> str:
    texts = [f"{name} ({means[name]:.3f})" for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _distinct(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[summary["same_as"].isna()]


def _degrees(distinct: pd.DataFrame) -> int:
    return int((distinct["seeds"] - 1).sum())


def _half_widths(summary: pd.DataFrame, groups: int) -> pd.Series:
    from scipy.stats import t as student  # noqa: PLC0415 - slow to import

    distinct = _distinct(summary)
    degrees = _degrees(distinct)
    if not degrees:
        return pd.Series(np.nan, index=summary.index)
    pooled = float((distinct["spread"].fillna(0) ** 2 * (distinct["seeds"] - 1)).sum()) / degrees
    over_seeds = float(student.ppf((1 + LEVEL) / 2, degrees)) ** 2 * pooled / summary["seeds"]
    count = groups + _NORMAL**2
    share = (summary["accuracy"] * groups + _NORMAL**2 / 2) / count
    over_groups = _NORMAL**2 * share * (1 - share) / count
    return (over_seeds + over_groups) ** 0.5


def rank_finalists(trials: pd.DataFrame, metric: str, *, larger_is_better: bool, groups: int) -> pd.DataFrame:
    """Rank by the mean of the metric over the seeds; the earlier trial is first among equals, so trial 0 of them all.

    A finalist that some seed spoilt is ranked behind those that every seed served.

    Args:
        trials: One row a training: network (a name), trial, seed, values, fingerprint, seconds, and the measures.
        metric: What is ranked by.
        larger_is_better: Whether more of it is better.
        groups: Groups of validation images, at least 1.

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
        groups: Groups of validation images.
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
        f"{found} It was chosen on the images it is measured on, which flatters it; the test split was not looked at."
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
