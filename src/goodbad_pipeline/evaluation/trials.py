"""What trials of several networks carry: means, intervals, ranks, and sentences that claim no more than that."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

LEVEL = 0.95
_NORMAL = 1.959964  # of the same level
SUMMARY_COLUMNS = ["seeds", "groups", "accuracy", "spread", "low", "high", "val_loss", "seconds", "same_as"]


def summarise_trials(trials: pd.DataFrame, groups: int) -> pd.DataFrame:
    """Mean, spread and interval of each network's validation accuracy, in the order of the trials.

    The interval holds two doubts, added in squares. Other seeds would have given something else: a t interval, its
    spread pooled over all networks, because two or three seeds alone say little of it. Other pictures would have too:
    the interval of Agresti and Coull for as many draws as there are groups, for pictures of one group are right or
    wrong together; where they are not, the interval is wider than need be. With one seed a network nothing is known of
    the first doubt, and there is no interval.

    Args:
        trials: One row a trial: network, seed, val_accuracy in [0, 1], val_loss, seconds, and fingerprint, which is
            equal for networks that round to the same layers: their trials are the same, and count once.
        groups: Groups of validation pictures, at least 1.

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


def explain_interval(summary: pd.DataFrame, pictures: int) -> str:
    """Say in one sentence what the intervals of `summarise_trials` are."""
    distinct = _distinct(summary)
    degrees, groups = _degrees(distinct), summary["groups"].iloc[0]
    if not degrees:
        return f"No intervals: from one seed a network nobody knows how far seeds lie apart ({pictures} pictures)."
    return (
        f"Intervals: mean ± a half-width of {LEVEL:.0%} over seeds (t, spread pooled over {len(distinct)} networks, "
        f"{degrees} degrees of freedom) and over the {groups} groups of the {pictures} validation pictures (Agresti "
        "and Coull), added in squares; a group counts as one picture, however many it has."
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
    parts, apart = [], f"and the intervals, from {summary['groups'].iloc[0]} groups of pictures, do not overlap"
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
