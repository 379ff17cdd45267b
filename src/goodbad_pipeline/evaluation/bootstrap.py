"""Bootstrap over groups of related images, such as photos of one person: whole groups are drawn, with replacement."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy  # loads scipy.stats when it is used
from numpy.typing import NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resamples:
    """How often each of g groups was drawn into each of b resamples.

    A metric is computed for each row of ``weights``: one value for the original sample, and b values for the resamples,
    which are called replicates.
    """

    codes: NDArray[np.int64]  # (n,) group of each image, 0 to g - 1
    weights: NDArray[np.float64]  # (b + 1, g) counts; row 0 is the original sample, which contains each group once

    @property
    def groups(self) -> int:
        """Number of groups g."""
        return self.weights.shape[1]


class Interval(NamedTuple):
    """A value and the bounds of its 95 % interval. A number that cannot be computed is NaN."""

    value: float
    low: float
    high: float


def resample_groups(groups: "pd.Series[Any] | NDArray[Any]", replicates: int, seed: int) -> Resamples:
    """Draw ``replicates`` resamples of the groups, with replacement.

    ``groups`` (n,) holds the group of each image. Each resample has as many groups as the original sample.
    """
    codes, names = pd.factorize(np.asarray(groups))
    count = len(names)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    weights = np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])
    return Resamples(codes.astype(np.int64), weights)


def bootstrap_interval(values: NDArray[np.float64], groups: int, *, share: bool = False) -> Interval:
    """Return the 95 % interval of a metric from its replicates.

    This is the expanded percentile interval (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section
    4.3), which corrects for the small number of groups.

    Args:
        values: (b + 1,) the metric's value on the sample, then its replicates; NaN replicates are ignored.
        groups: Number of groups.
        share: True if the metric is a share of images. Equal replicates, such as an accuracy of 1 in each resample,
            would give an interval of width 0. The result is then the Clopper-Pearson interval of ``groups`` trials.
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
    """Return the share of replicates to cut off on each side for 95 % coverage with ``groups`` ≥ 2 groups."""
    reach = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, groups - 1) * np.sqrt(groups / (groups - 1))
    return float(scipy.stats.norm.cdf(-reach))
