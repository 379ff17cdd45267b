"""Fit temperature, threshold and abstention on validation images; compute the calibration error due to chance."""

import logging
from dataclasses import replace

import numpy as np
import scipy  # loads scipy.optimize and scipy.stats when they are used

from goodbad_pipeline.evaluation.bootstrap import CONFIDENCE, Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.decision import SMALLEST, Calibration, scale_temperature
from goodbad_pipeline.evaluation.metrics import BINS, BLOCK, confidence_bins, group_statistics, summed_metrics
from goodbad_pipeline.evaluation.predictions import BoolArray, FloatArray, IntArray, check_probabilities

logger = logging.getLogger(__name__)

TEMPERATURES = (0.05, 20.0)
FOLDS = 5
"""Number of cross-validation folds that measure the gain of a fitted threshold."""


def fit_calibration(
    y_true: IntArray,
    probabilities: FloatArray,
    class_names: list[str],
    resamples: Resamples,
    *,
    choose_threshold: bool = True,
    abstain_at_error: float | None = None,
) -> Calibration:
    """Fit the temperature on uncalibrated probabilities, then threshold and abstention on calibrated ones.

    A threshold is fitted for two classes only. The model abstains from its least confident predictions, so that all
    other predictions have an error rate of at most ``abstain_at_error``, in [0, 1). If ``abstain_at_error`` is None,
    the model never abstains.
    """
    values = check_probabilities(probabilities)
    temperature = fit_temperature(y_true, values, resamples)
    calibrated = scale_temperature(values, temperature)
    threshold = find_threshold(y_true, calibrated, resamples) if choose_threshold and len(class_names) == 2 else None
    calibration = Calibration(class_names, temperature, threshold)
    if abstain_at_error is None:
        return calibration
    correct = calibration.predict(calibrated) == y_true
    cut = find_abstention(correct, calibration.confidence(calibrated), abstain_at_error)
    return replace(calibration, abstain_below=cut)


def fit_temperature(y_true: IntArray, probabilities: FloatArray, resamples: Resamples) -> float:
    """Return the temperature with the lowest log loss (Guo et al. 2017), shrunk towards 1, within `TEMPERATURES`.

    Without errors on the validation split, the lowest log loss would be at temperature 0. Therefore, one more group of
    average size is added, whose images belong to every class equally. The logarithm of the temperature is then shrunk
    by the non-negative garrote (Breiman 1995): the result is 1 if the 99 % interval of the logarithm contains 0.
    """
    groups = resamples.groups
    if groups < 2:
        return 1.0
    logits = np.log(np.maximum(probabilities, SMALLEST))
    images = np.arange(len(y_true))
    group_size = len(y_true) / groups

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        own, added = normaliser - scaled[images, y_true], normaliser - scaled.mean(axis=1)
        return float(own.sum() + group_size * added.mean())

    bounds = tuple(np.log(TEMPERATURES))
    best = float(scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    # Standard error by the sandwich formula: slopes of the loss summed by group, over the curvature at the minimum.
    scaled, calibrated = logits / np.exp(best), scale_temperature(probabilities, np.exp(best))
    mean = (calibrated * scaled).sum(axis=1)
    variance = (calibrated * scaled**2).sum(axis=1) - mean**2
    slopes = np.bincount(resamples.codes, scaled[images, y_true] - mean, groups)
    added_slope = group_size * (scaled.mean(axis=1) - mean).mean()
    error = np.sqrt((slopes**2).sum() + added_slope**2) / (variance.sum() + group_size * variance.mean())
    limit = error * scipy.stats.t.ppf(0.995, groups - 1)
    return float(np.exp(best * (1 - (limit / best) ** 2))) if abs(best) > limit else 1.0


def find_threshold(y_true: IntArray, calibrated: FloatArray, resamples: Resamples) -> float:
    """Return the probability from which class 1 is predicted, chosen to maximise balanced accuracy.

    The threshold is 1/2, unless fitted thresholds are significantly better than 1/2 in cross-validation by groups.
    """
    scores = calibrated[:, 1]
    held_out = np.empty_like(scores)
    folds = _assign_folds(y_true, resamples)
    for fold in range(FOLDS):
        inside = folds == fold
        held_out[inside] = _best_cut(y_true[~inside], scores[~inside])

    def balanced_accuracy(thresholds: FloatArray | float) -> FloatArray:
        predicted = (scores >= thresholds).astype(np.int64)
        sums = group_statistics(y_true, calibrated, predicted, resamples.codes).mix(resamples.weights)
        return summed_metrics(sums)["balanced_accuracy"]

    gain = bootstrap_interval(balanced_accuracy(held_out) - balanced_accuracy(0.5), resamples.groups)
    return _best_cut(y_true, scores) if gain.low > 0 else 0.5


def _assign_folds(y_true: IntArray, resamples: Resamples) -> IntArray:
    """Return the fold of each image, (n,).

    Groups are sorted by their share of class 1 and assigned to the folds in turn, so that the folds are alike.
    """
    positive, size = (np.bincount(resamples.codes, weights, resamples.groups) for weights in (y_true, None))
    folds = np.empty(resamples.groups, dtype=np.int64)
    folds[np.argsort(positive / size, kind="stable")] = np.arange(resamples.groups) % FOLDS
    return folds[resamples.codes]


def _best_cut(y_true: IntArray, scores: FloatArray) -> float:
    """Return the threshold with the best balanced accuracy; of several such thresholds, return the nearest to 1/2."""
    positive, negative = np.sort(scores[y_true == 1]), np.sort(scores[y_true == 0])
    if not len(positive) or not len(negative):
        return 0.5
    distinct = np.unique(scores)
    cuts = np.append((distinct[1:] + distinct[:-1]) / 2, 0.5)
    recalls = 1 - np.searchsorted(positive, cuts) / len(positive) + np.searchsorted(negative, cuts) / len(negative)
    best = cuts[recalls >= recalls.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def find_abstention(correct: BoolArray, confidence: FloatArray, target_error: float) -> float | None:
    """Return the lowest confidence such that predictions with at least this confidence meet the target error rate.

    Return None if all predictions together meet the target, so that the model need not abstain. If no confidence meets
    the target, log a warning and return the confidence with the lowest error rate.
    """
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    errors = (np.cumsum(~correct[order].astype(bool)) / np.arange(1, len(order) + 1))[ends]
    met = np.flatnonzero(errors <= target_error)
    if not len(met):
        met = np.flatnonzero(errors == errors.min())
        logger.warning(
            "evaluation.abstain_at_error: abstention cannot lower the error rate on the validation split to %g; the "
            "lowest error rate that abstention reaches, %g, is used instead",
            target_error,
            errors.min(),
        )
    elif met[-1] == len(ends) - 1:
        return None
    return float(confidence[order][ends[met[-1]]])


def ece_by_chance(probabilities: FloatArray, resamples: Resamples, seed: int) -> float:
    """Return the 97.5th percentile of the calibration error that a perfectly calibrated model would show.

    Even a calibrated model has an error above 0, because the error averages absolute values (Nixon et al. 2019,
    "Measuring Calibration in Deep Learning", section 4). A calibrated model is simulated once per resample: labels are
    drawn from the probabilities (consistency resampling, Bröcker and Smith 2007). Images of a group are dependent, so
    one random number is drawn for the whole group. Without resamples, the result is NaN.
    """
    confidence = probabilities.max(axis=1)
    bins = np.eye(BINS)[confidence_bins(confidence)]
    draws, rng = len(resamples.weights) - 1, np.random.default_rng([seed, 2])
    step = max(1, BLOCK // max(len(confidence), resamples.groups))
    errors = [np.empty(0)]
    for start in range(0, draws, step):
        chances = rng.random((min(step, draws - start), resamples.groups))
        surplus = (chances[:, resamples.codes] < confidence) - confidence
        errors.append(np.abs(surplus @ bins).sum(axis=1) / len(confidence))
    return float(np.quantile(np.concatenate(errors), (1 + CONFIDENCE) / 2)) if draws else float("nan")
