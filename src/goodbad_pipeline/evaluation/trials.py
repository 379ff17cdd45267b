"""What trials of several networks carry: means, intervals, ranks, and sentences that claim no more than that."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

LEVEL = 0.95
_NORMAL = 1.959964  # of the same level
SUMMARY_COLUMNS = ["seeds", "accuracy", "spread", "low", "high", "val_loss", "seconds"]


def summarise_trials(trials: pd.DataFrame, pictures: int) -> pd.DataFrame:
    """Mean, spread and interval of each network's validation accuracy, in the order of the trials.

    The interval holds two doubts, added in squares. Other seeds would have given something else: a t interval, its
    spread pooled over all networks, because two or three seeds alone say little of it. Other pictures would have too:
    the interval of Agresti and Coull for `pictures` of them, as if each were drawn by itself. With one seed a network
    nothing is known of the first, and there is no interval.

    Args:
        trials: One row a trial: network, seed, val_accuracy in [0, 1], val_loss, seconds.
        pictures: Validation pictures, at least 1.

    Returns:
        One row a network: network, seeds (how many), accuracy (mean), spread (standard deviation over its seeds), low
        and high in [0, 1], val_loss and seconds (means). Spread, low and high are NaN where they are not known.
    """
    groups = trials.groupby("network", sort=False)
    summary = groups.agg(
        seeds=("seed", "size"),
        accuracy=("val_accuracy", "mean"),
        spread=("val_accuracy", "std"),
        val_loss=("val_loss", "mean"),
        seconds=("seconds", "mean"),
    )
    half = _half_widths(summary, pictures)
    summary["low"] = (summary["accuracy"] - half).clip(lower=0.0)
    summary["high"] = (summary["accuracy"] + half).clip(upper=1.0)
    return summary[SUMMARY_COLUMNS].reset_index()


def rank_networks(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort by mean accuracy, the lower validation loss first among equals, and number from 1 in a column `rank`."""
    ranked = summary.sort_values(["accuracy", "val_loss"], ascending=[False, True], kind="stable", ignore_index=True)
    return ranked.assign(rank=np.arange(1, len(ranked) + 1))


def explain_interval(summary: pd.DataFrame, pictures: int) -> str:
    """Say in one sentence what the intervals of `summarise_trials` are."""
    degrees = _degrees(summary)
    if not degrees:
        return f"No intervals: from one seed a network nobody knows how far seeds lie apart ({pictures} pictures)."
    return (
        f"Intervals: mean ± a half-width of {LEVEL:.0%} over seeds (t, spread pooled over {len(summary)} networks, "
        f"{degrees} degrees of freedom) and over the {pictures} validation pictures (Agresti and Coull), "
        "added in squares; pictures of one group count as if they were independent."
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
    parts = []
    if above:
        parts.append(f"lies above {_listed(means, above)}, and the intervals do not overlap")
    if below:
        parts.append(f"lies below {_listed(means, below)}, and the intervals do not overlap")
    if level:
        parts.append(f"overlaps in its interval with {_listed(means, level)}: these data do not tell them apart")
    return f"{start} {'; it '.join(parts)}."


def _listed(means: Mapping[str, float], names: Sequence[str]) -> str:
    texts = [f"{name} ({means[name]:.3f})" for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _degrees(summary: pd.DataFrame) -> int:
    return int((summary["seeds"] - 1).sum())


def _half_widths(summary: pd.DataFrame, pictures: int) -> pd.Series:
    degrees = _degrees(summary)
    if not degrees:
        return pd.Series(np.nan, index=summary.index)
    free = summary["seeds"] - 1
    pooled = float((summary["spread"].fillna(0) ** 2 * free).sum()) / degrees
    over_seeds = float(student.ppf((1 + LEVEL) / 2, degrees)) ** 2 * pooled / summary["seeds"]
    count = pictures + _NORMAL**2
    share = (summary["accuracy"] * pictures + _NORMAL**2 / 2) / count
    over_pictures = _NORMAL**2 * share * (1 - share) / count
    return (over_seeds + over_pictures) ** 0.5
