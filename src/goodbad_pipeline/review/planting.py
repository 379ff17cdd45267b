"""Plant wrong labels, and calibrate by them how probably each given label is wrong.

Planted labels are known to be wrong. The given labels are a mixture of right labels and an unknown share of wrong
labels. This is learning from positive and unlabelled examples: if the share is known, the ratio of the two densities
of the evidence is the probability that a label is wrong (Elkan and Noto 2008). The share is the lowest ratio of the
two tails, which is the share itself if the strongest evidence occurs for wrong labels only (Garg et al. 2021,
arXiv 2111.00980).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from goodbad_pipeline.evaluation.bootstrap import Resamples
from goodbad_pipeline.evaluation.predictions import BoolArray, FloatArray, IntArray

_FEWEST = 0.05
"""The smallest share of the planted labels that a tail contains."""


@dataclass(frozen=True)
class Planted:
    """Labels of which some were changed."""

    y: IntArray  # (n,)
    wrong: BoolArray  # (n,) True for a changed label


def plant_errors(
    y: IntArray, groups: IntArray, classes: int, share: float, seed: int | list[int], *, whole_groups: bool
) -> Planted:
    """Change the labels of a ``share`` of the images to other classes, drawn uniformly.

    ``whole_groups`` changes all labels of random groups: within a group, images with equal labels get equal labels.
    Groups that would exceed the share are left out.
    """
    rng = np.random.default_rng(seed)
    target = round(share * len(y))
    codes = np.unique(groups, return_inverse=True)[1] if whole_groups else np.arange(len(y))
    shifts = rng.integers(1, classes, (codes.max() + 1, classes))  # of each group and label
    sizes, left = np.bincount(codes), target
    wrong = np.zeros(len(sizes), bool)
    for group in rng.permutation(len(sizes)):
        if sizes[group] <= left:
            wrong[group], left = True, left - sizes[group]
    changed = wrong[codes]
    return Planted(np.where(changed, (y + shifts[codes, y]) % classes, y), changed)


@dataclass(frozen=True)
class Calibrator:
    """Turns evidence into the probability that a label is wrong."""

    regression: LogisticRegression
    scale: FloatArray  # (f,)
    scores: FloatArray  # (m,) log odds of the planted run, descending
    planted: BoolArray  # (m,) True for a planted label
    order: IntArray  # (m,) the positions of the images in the planted run

    def ratio(self, evidence: FloatArray) -> FloatArray:
        """Return the density of planted labels relative to that of given labels at the ``evidence`` (n, f), (n,).

        The share of wrong labels times this ratio, at most 1, is the probability that a label is wrong.
        """
        planted = self.planted.mean()
        odds: FloatArray = np.exp(self.regression.decision_function(evidence / self.scale))
        return odds * (1 - planted) / planted

    def shares(self, resamples: Resamples) -> FloatArray:
        """Return the share of wrong labels among the given labels, for each resample."""
        codes = resamples.codes[self.order]
        return np.array([self._share(weights[codes]) for weights in resamples.weights])

    def _share(self, weights: NDArray[np.float64]) -> float:
        wrong, given = np.cumsum(weights * self.planted), np.cumsum(weights * ~self.planted)
        if not (wrong[-1] and given[-1]):
            return np.nan
        tails = wrong >= max(_FEWEST * wrong[-1], 1)
        counts = given[tails] + 1
        upper = (counts + np.sqrt(counts)) / given[-1]  # one standard deviation above, because few images vary
        return float(min(1, (upper / (wrong[tails] / wrong[-1])).min()))


def fit_calibrator(evidence: FloatArray, planted: BoolArray) -> Calibrator:
    """Fit the calibration to the ``evidence`` (n, f) of images with planted and given labels."""
    scale = np.maximum(evidence.std(axis=0), 1e-9)
    regression = LogisticRegression().fit(evidence / scale, planted)
    scores = regression.decision_function(evidence / scale)
    order = np.argsort(-scores, kind="stable")
    return Calibrator(regression, scale, scores[order], planted[order], order)
