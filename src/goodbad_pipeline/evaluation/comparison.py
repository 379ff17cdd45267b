"""Comparison of the challenger (new model) and the champion (current model) on the same images.

`Agreement` compares the predictions of one model in two runtimes, such as Keras and ONNX.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # loads scipy.stats when it is used

from goodbad_pipeline.evaluation import metrics
from goodbad_pipeline.evaluation.bootstrap import Interval, Resamples, bootstrap_interval, resample_groups
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.predictions import BoolArray, FloatArray, IntArray, Predictions
from goodbad_pipeline.evaluation.slices import slice_rates

PAIRED_COLUMNS = ["column", "value", "images", "groups", "challenger", "champion", "difference", "low", "high"]
LOSS_COLUMNS = ["log_loss", "low", "high", "excess", "chance"]
_ROUNDING = 1e-12
_REPLICATES = 2000


@dataclass(frozen=True)
class Gain:
    """The scores of challenger and champion, and how much better the challenger is.

    The difference is positive if the challenger is better, also for metrics where lower is better. The p-value is
    one-sided; its null hypothesis is that both models are equally good.
    """

    challenger: float
    champion: float
    difference: Interval
    p_value: float


def measure_gain(challenger: Predictions, champion: Predictions, resamples: Resamples, metric: str, seed: int) -> Gain:
    """Compare the challenger with the champion by one metric.

    The interval comes from a bootstrap over groups, with the same resamples for both models. The p-value comes from a
    permutation test, which is exact for any number of groups. For each resample, the test swaps the predictions of the
    two models in random groups. The p-value is the share of these swaps with at least the observed gain.
    ``metric`` is one of `METRICS` except average_precision.
    """
    sign = 1.0 if metrics.larger_is_better(metric) else -1.0
    new, old = (
        metrics.resampled_metrics(model.y_true, model.probabilities, resamples, predicted=model.predicted)[metric]
        for model in (challenger, champion)
    )
    shape = len(resamples.weights) - 1, resamples.groups
    swaps = np.random.default_rng([seed, 1]).integers(0, 2, shape).astype(np.float64)
    mixed = [_swapped_metric(challenger, champion, resamples.codes, rows, metric) for rows in (swaps, 1 - swaps)]
    observed, by_chance = sign * (new[0] - old[0]), sign * (mixed[0] - mixed[1])
    p_value = (1 + np.count_nonzero(by_chance >= observed - _ROUNDING)) / (1 + len(by_chance))
    interval = bootstrap_interval(sign * (new - old), resamples.groups)
    return Gain(float(new[0]), float(old[0]), interval, float(p_value))


def compare_losses(losses: FloatArray, groups: IntArray) -> pd.DataFrame:
    """Compare models by ``losses`` (models, n), the log losses of each model on the same n images.

    Returns:
        One row per model. The interval of ``log_loss`` is ``low`` to ``high``. ``excess`` is the log loss minus the
        lowest log loss of all models. An excess of at most ``chance`` may be due to the selection of the images.
        ``chance`` is the standard error of the excess between groups, enlarged for few groups by Student's t, and
        infinite for one group.
    """
    resamples = resample_groups(groups, _REPLICATES, seed=0)
    count, sizes = resamples.groups, np.bincount(resamples.codes)
    sums = np.stack([np.bincount(resamples.codes, row) for row in losses])  # (models, groups)
    means = (resamples.weights @ sums.T / (resamples.weights @ sizes)[:, None]).T  # (models, resamples)
    excess = means[:, 0] - means[:, 0].min()
    deviations = sums - sums[excess.argmin()] - excess[:, None] * sizes
    spread = np.sqrt((deviations**2).sum(axis=1) * count / max(count - 1, 1)) / sizes.sum()
    one_sigma = scipy.stats.norm.cdf(1)
    chance = spread * scipy.stats.t.ppf(one_sigma, count - 1) if count > 1 else np.full(len(losses), np.inf)
    intervals = [bootstrap_interval(row, count) for row in means]
    return pd.DataFrame(np.column_stack([intervals, excess, chance]), columns=LOSS_COLUMNS)


def measure_rise(metric: str, challenger: Predictions, champion: Predictions, resamples: Resamples) -> Interval:
    """Return the challenger's metric minus the champion's, with its 95 % interval.

    ``metric`` is one of `METRICS` except roc_auc and average_precision, which are not computed from sums over groups.
    The calibration error is biased upward on few images. An interval for one model would thus be wrong, but the biases
    of two models are about equal and cancel in the difference.
    """
    sums = [_statistics(model, resamples.codes).mix(resamples.weights) for model in (challenger, champion)]
    new, old = (metrics.summed_metrics(mixed)[metric] for mixed in sums)
    return bootstrap_interval(new - old, resamples.groups)


def compare_slices(
    values: pd.DataFrame, challenger: BoolArray, champion: BoolArray, resamples: Resamples
) -> pd.DataFrame:
    """Compare the accuracy of two models on each slice of `slice_values`.

    ``challenger`` and ``champion`` (n,) are True for correct predictions. The result has one row per slice, with
    `PAIRED_COLUMNS`.
    """
    rows = []
    for column in values.columns:
        codes, names = pd.factorize(values[column], sort=True)
        new, counts = slice_rates(codes, len(names), resamples, challenger)
        old, _ = slice_rates(codes, len(names), resamples, champion)
        groups = (counts > 0).sum(axis=0)
        for index, name in enumerate(names):
            size = int(counts[:, index].sum()), int(groups[index])
            gap = bootstrap_interval(new[:, index] - old[:, index], size[1])
            rows.append((column, str(name), *size, float(new[0, index]), float(old[0, index]), *gap))
    return pd.DataFrame(rows, columns=PAIRED_COLUMNS)


def _swapped_metric(
    challenger: Predictions, champion: Predictions, codes: IntArray, swaps: metrics.Values, metric: str
) -> metrics.Values:
    """Return the metric for each row of ``swaps`` (b, g): 1 selects the challenger for a group, 0 the champion."""
    if metric == "roc_auc":
        return _swapped_roc_auc(challenger, champion, codes, swaps)
    sums = _statistics(challenger, codes).mix(swaps) + _statistics(champion, codes).mix(1 - swaps)
    return metrics.summed_metrics(sums)[metric]


def _statistics(model: Predictions, codes: IntArray) -> metrics.GroupStatistics:
    return metrics.group_statistics(model.y_true, model.probabilities, model.predicted, codes)


def _swapped_roc_auc(
    challenger: Predictions, champion: Predictions, codes: IntArray, swaps: metrics.Values
) -> metrics.Values:
    y_true, new, old = challenger.y_true, challenger.probabilities, champion.probabilities
    areas = []
    for rows in metrics.blocks(swaps, len(y_true)):
        taken = rows[:, codes] > 0
        columns = [
            _roc_auc_by_row(y_true == column, np.where(taken, new[:, column], old[:, column]))
            for column in metrics.scored_classes(y_true, new.shape[1])
        ]
        areas.append(np.mean(columns, axis=0))
    return np.concatenate(areas)


def _roc_auc_by_row(positive: BoolArray, scores: FloatArray) -> metrics.Values:
    """Return the ROC AUC of each row of scores (b, n), from the Mann-Whitney rank sum."""
    ranks, hits = scipy.stats.rankdata(scores, axis=1), np.count_nonzero(positive)
    areas: metrics.Values = (ranks[:, positive].sum(axis=1) - hits * (hits + 1) / 2) / (hits * (len(positive) - hits))
    return areas


@dataclass(frozen=True)
class Agreement:
    """How closely another runtime, such as ONNX, reproduces a model's predictions."""

    same_labels: float  # share of images for which model and runtime predict the same class
    max_difference: float  # largest difference between two uncalibrated probabilities
    accuracy: float  # of the other runtime
    reference_accuracy: float  # of the model

    def within(self, *, difference: float, accuracy: float) -> bool:
        """Return True if probabilities differ by at most ``difference`` and accuracy drops by at most ``accuracy``."""
        lost = self.reference_accuracy - self.accuracy
        return self.max_difference <= difference and lost <= accuracy + _ROUNDING  # 0.99 - 0.98 is above 0.01


def measure_agreement(
    y_true: IntArray, reference: FloatArray, probabilities: FloatArray, calibration: Calibration
) -> Agreement:
    """Compare the uncalibrated ``probabilities`` of another runtime with the model's own (``reference``).

    ``max_difference`` is infinite if any of ``probabilities`` is not finite.
    """
    expected = calibration.predict(calibration.calibrate(reference))
    if not np.isfinite(probabilities).all():
        return Agreement(0.0, float("inf"), 0.0, float((expected == y_true).mean()))
    predicted = calibration.predict(calibration.calibrate(probabilities))
    return Agreement(
        same_labels=float((predicted == expected).mean()),
        max_difference=float(np.abs(np.asarray(probabilities, np.float64) - reference).max()),
        accuracy=float((predicted == y_true).mean()),
        reference_accuracy=float((expected == y_true).mean()),
    )
