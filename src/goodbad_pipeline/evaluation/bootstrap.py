"""Intervals that know that images come in groups: the bootstrap draws whole groups, with replacement."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resamples:
    """How often each group was drawn.

    Attributes:
        codes: (n,) group of each image, 0 to g - 1.
        weights: (b + 1, g); row 0 is the sample itself, every group once, so that whatever is computed for all rows
            gives the value and its replicates at once.
    """

    codes: NDArray[np.int64]
    weights: NDArray[np.float64]

    @property
    def groups(self) -> int:
        """Number of groups g."""
        return self.weights.shape[1]


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its 95 % interval; NaN where they cannot be told."""

    value: float
    low: float
    high: float


def resample_groups(groups: "pd.Series[Any] | NDArray[Any]", replicates: int, seed: int) -> Resamples:
    """Draw as many groups as there are, with replacement, again and again.

    Args:
        groups: (n,) group of each image, n ≥ 1.
        replicates: Number of draws b.
        seed: Of the draws.
    """
    codes, names = pd.factorize(np.asarray(groups))
    count = len(names)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    weights = np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])
    return Resamples(codes.astype(np.int64), weights)


def bootstrap_interval(values: NDArray[np.float64], groups: int, *, share: bool = False) -> Interval:
    """Read the 95 % interval off the replicates of a metric.

    Percentiles are moved outward to what Student's t asks of so few groups (Hesterberg 2015, "What Teachers Should Know
    About the Bootstrap", section 4.3: the expanded percentile interval); plain ones cover too little.

    Args:
        values: (b + 1,), the metric of the sample, then of its replicates; NaN where a replicate has none.
        groups: Number of groups.
        share: Whether the metric is a share of images. Where all replicates are equal, resampling has nothing to say,
            and what so many groups, all alike, leave room for stands in: Clopper and Pearson's bound of that many of
            that many, as far as other groups could move the share.
    """
    value, replicates = float(values[0]), values[1:][np.isfinite(values[1:])]
    if groups < 2 or len(replicates) < 2 or not np.isfinite(value):
        return Interval(value, np.nan, np.nan)
    tail = expanded_tail(groups)
    low, high = np.quantile(replicates, [tail, 1 - tail])
    if share and low == high:
        alike = ((1 - CONFIDENCE) / 2) ** (1 / groups)
        low, high = alike * value, 1 - alike * (1 - value)
    return Interval(value, float(min(low, value)), float(max(high, value)))


def expanded_tail(groups: int) -> float:
    """Share of replicates to cut off on each side, so that the interval of ``groups`` ≥ 2 draws covers 95 %."""
    from scipy import stats  # noqa: PLC0415 - slow to import

    reach = stats.t.ppf((1 + CONFIDENCE) / 2, groups - 1) * np.sqrt(groups / (groups - 1))
    return float(stats.norm.cdf(-reach))
