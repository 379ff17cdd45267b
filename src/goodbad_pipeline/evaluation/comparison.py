"""Two models on the same images: how much better is one, and could that be chance?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray
from goodbad_pipeline.evaluation.bootstrap import Interval, Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.metrics import (
    BLOCK,
    GroupStatistics,
    group_statistics,
    larger_is_better,
    resampled_metrics,
    scored_classes,
    summed_metrics,
)
from goodbad_pipeline.evaluation.slices import sum_by_slice

PAIRED_COLUMNS = ["column", "value", "images", "groups", "challenger", "champion", "difference", "low", "high"]
_SLACK = 1e-12


@dataclass(frozen=True)
class Answers:
    """What one model answered.

    Attributes:
        probabilities: (n, k) calibrated, rows summing to 1.
        chosen: (n,) class index of each answer.
    """

    probabilities: FloatArray
    chosen: IntArray


@dataclass(frozen=True)
class Gain:
    """How much better the challenger is than the champion.

    Attributes:
        challenger: Its score.
        champion: The other's.
        difference: With its 95 % interval; above 0 where the challenger is better, also on metrics to be minimised.
        p_value: How often models of the same worth would differ so much or more in the challenger's favour.
    """

    challenger: float
    champion: float
    difference: Interval
    p_value: float


def measure_gain(
    y_true: IntArray, challenger: Answers, champion: Answers, resamples: Resamples, metric: str, seed: int
) -> Gain:
    """Compare two models on the same images.

    The interval is a bootstrap of groups, drawn alike for both. The p-value is exact however few groups there are:
    models of the same worth could have swapped their answers in any group, so it is the share of random swaps that give
    the challenger as much (McNemar's test, by group and for any metric).

    Args:
        y_true: (n,) class indices.
        challenger: The new model's answers.
        champion: The present one's.
        resamples: Of the n images; as many swaps are drawn.
        metric: One of `METRICS`, but average_precision.
        seed: Of the swaps.
    """
    sign = 1.0 if larger_is_better(metric) else -1.0
    ours, theirs = (
        resampled_metrics(y_true, one.probabilities, resamples, chosen=one.chosen)[metric]
        for one in (challenger, champion)
    )
    shape = len(resamples.weights) - 1, resamples.groups
    swaps = np.random.default_rng([seed, 1]).integers(0, 2, shape).astype(np.float64)
    mixed = [_swapped(y_true, challenger, champion, resamples.codes, rows, metric) for rows in (swaps, 1 - swaps)]
    observed, chance = sign * (ours[0] - theirs[0]), sign * (mixed[0] - mixed[1])
    p_value = (1 + np.count_nonzero(chance >= observed - _SLACK)) / (1 + len(chance))
    interval = bootstrap_interval(sign * (ours - theirs), resamples.groups)
    return Gain(float(ours[0]), float(theirs[0]), interval, float(p_value))


def measure_ece_rise(y_true: IntArray, challenger: Answers, champion: Answers, resamples: Resamples) -> Interval:
    """Measure by how much the challenger's calibration error is above the champion's, with its 95 % interval.

    Both errors come out too high on few images, and by much the same; a bootstrap of groups, drawn alike for both,
    tells how much of their difference may be chance.

    Args:
        y_true: (n,) class indices.
        challenger: The new model's answers.
        champion: The present one's.
        resamples: Of the n images.
    """
    ours, theirs = (
        summed_metrics(group_statistics(y_true, one.probabilities, one.chosen, resamples.codes).mix(resamples.weights))[
            "ece"
        ]
        for one in (challenger, champion)
    )
    return bootstrap_interval(ours - theirs, resamples.groups)


def compare_slices(
    values: pd.DataFrame, challenger: NDArray[np.bool_], champion: NDArray[np.bool_], resamples: Resamples
) -> pd.DataFrame:
    """Compare two models' accuracy on each slice.

    Args:
        values: (n rows) what `slice_values` gave.
        challenger: (n,) whether the new model's answers are right.
        champion: (n,) whether the present one's are.
        resamples: Of the n images.

    Returns:
        `PAIRED_COLUMNS`, one row per slice; difference is the challenger's accuracy less the champion's.
    """
    rows = []
    for column in values.columns:
        codes, names = pd.factorize(values[column], sort=True)
        ours, theirs, counts = (
            sum_by_slice(codes, len(names), resamples, part) for part in (challenger, champion, None)
        )
        drawn = resamples.weights @ counts
        with np.errstate(invalid="ignore"):
            new, old = (resamples.weights @ ours) / drawn, (resamples.weights @ theirs) / drawn
        groups = (counts > 0).sum(axis=0)
        for index, name in enumerate(names):
            size = int(counts[:, index].sum()), int(groups[index])
            gap = bootstrap_interval(new[:, index] - old[:, index], size[1])
            scores = float(new[0, index]), float(old[0, index])
            rows.append((column, str(name), *size, *scores, gap.value, gap.low, gap.high))
    return pd.DataFrame(rows, columns=PAIRED_COLUMNS)


def _swapped(
    y_true: IntArray, one: Answers, other: Answers, codes: IntArray, swaps: NDArray[np.float64], metric: str
) -> NDArray[np.float64]:
    """The metric of a model that answers as ``one`` in the groups where ``swaps`` (b, g) is 1, else as ``other``."""
    if metric == "roc_auc":
        return _swapped_areas(y_true, one.probabilities, other.probabilities, codes, swaps)
    sums = [group_statistics(y_true, model.probabilities, model.chosen, codes) for model in (one, other)]
    mixed: GroupStatistics = sums[0].mix(swaps).plus(sums[1].mix(1 - swaps))
    return summed_metrics(mixed)[metric]


def _swapped_areas(
    y_true: IntArray, one: FloatArray, other: FloatArray, codes: IntArray, swaps: NDArray[np.float64]
) -> NDArray[np.float64]:
    step = max(1, BLOCK // len(y_true))
    areas = []
    for start in range(0, len(swaps), step):
        taken = swaps[start : start + step][:, codes] > 0
        columns = [
            _areas(y_true == column, np.where(taken, one[:, column], other[:, column]))
            for column in scored_classes(y_true, one.shape[1])
        ]
        areas.append(np.mean(columns, axis=0))
    return np.concatenate(areas)


def _areas(positive: NDArray[np.bool_], scores: FloatArray) -> NDArray[np.float64]:
    """ROC AUC of each row of scores (b, n): Mann and Whitney's sum of ranks."""
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    ranks, hits = rankdata(scores, axis=1), np.count_nonzero(positive)
    return (ranks[:, positive].sum(axis=1) - hits * (hits + 1) / 2) / (hits * (len(positive) - hits))


@dataclass(frozen=True)
class Agreement:
    """Two sets of answers about the same images.

    Attributes:
        same_labels: Share of the images that get the same label, 0–1.
        max_difference: Largest difference of a probability as the network gives it.
        accuracy: Of the other way, 0–1.
        reference_accuracy: Of the model itself, 0–1.
    """

    same_labels: float
    max_difference: float
    accuracy: float
    reference_accuracy: float

    def within(self, *, difference: float, accuracy: float) -> bool:
        """Whether no probability is further off than ``difference`` and no more than ``accuracy`` is lost."""
        lost = self.reference_accuracy - self.accuracy
        return self.max_difference <= difference and lost <= accuracy + 1e-12  # 1 of 100 is 0.010000000000000009


def measure_agreement(
    y_true: IntArray, reference: FloatArray, probabilities: FloatArray, calibration: Calibration
) -> Agreement:
    """Compare probabilities and the labels read from them.

    Args:
        y_true: Class numbers, shape (n,), n at least 1.
        reference: The model's own probabilities, shape (n, classes).
        probabilities: Those of the other way; what is no finite number differs infinitely.
        calibration: How both are read.
    """
    expected = calibration.choose(calibration.calibrate(reference))
    if not np.isfinite(probabilities).all():
        return Agreement(0.0, float("inf"), 0.0, float((expected == y_true).mean()))
    chosen = calibration.choose(calibration.calibrate(probabilities))
    return Agreement(
        same_labels=float((chosen == expected).mean()),
        max_difference=float(np.abs(np.asarray(probabilities, np.float64) - reference).max()),
        accuracy=float((chosen == y_true).mean()),
        reference_accuracy=float((expected == y_true).mean()),
    )
