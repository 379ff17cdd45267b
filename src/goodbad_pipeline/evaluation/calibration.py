"""What validation teaches about reading a model: temperature, threshold of two classes, and when to abstain."""

import logging

import numpy as np

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_predictions
from goodbad_pipeline.evaluation.bootstrap import CONFIDENCE, Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.decision import SMALLEST, Calibration, scale_temperature
from goodbad_pipeline.evaluation.metrics import BINS, BLOCK, confidence_bins, group_statistics, summed_metrics

logger = logging.getLogger(__name__)

TEMPERATURES = (0.05, 20.0)
PARTS = 5
"""Into so many parts validation is dealt to see what choosing a threshold gains."""


def fit_calibration(
    y_true: IntArray,
    probabilities: FloatArray,
    class_names: list[str],
    resamples: Resamples,
    *,
    choose_threshold: bool = True,
    abstain_at_error: float | None = None,
) -> Calibration:
    """Fit everything on validation: temperature first, the rest on what it gives.

    Args:
        y_true: (n,) class indices in [0, k).
        probabilities: (n, k), the model's own.
        class_names: The k classes.
        resamples: Of the n images.
        choose_threshold: Whether a threshold of two classes other than 1/2 may be chosen.
        abstain_at_error: Error, in [0, 1), that answers may have; None: never abstain.
    """
    values = check_predictions(y_true, probabilities)
    temperature = fit_temperature(y_true, values)
    calibrated = scale_temperature(values, temperature)
    threshold = find_threshold(y_true, calibrated, resamples) if choose_threshold and len(class_names) == 2 else None
    reading = Calibration(class_names, temperature, threshold)
    if abstain_at_error is None:
        return reading
    chosen = reading.choose(calibrated)
    confidence = np.take_along_axis(calibrated, chosen[:, None], axis=1)[:, 0]
    cut = find_abstention(chosen == y_true, confidence, abstain_at_error)
    return Calibration(class_names, temperature, threshold, cut)


def fit_temperature(y_true: IntArray, probabilities: FloatArray) -> float:
    """Find the temperature under which validation is likeliest (Guo et al. 2017).

    Targets are (1 + their count) out of (k + all), Platt's (1999) guard: where validation has no error at all, nothing
    else would keep the temperature from falling to 0, and every later answer from being called certain.

    Args:
        y_true: (n,) class indices.
        probabilities: (n, k), rows summing to 1.

    Returns:
        In `TEMPERATURES`.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - slow to import

    count, classes = probabilities.shape
    logits = np.log(np.maximum(probabilities, SMALLEST))
    targets = (np.eye(classes)[y_true] * count + 1) / (count + classes)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        return float(np.mean(normaliser - (targets * scaled).sum(axis=1)))

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def find_threshold(y_true: IntArray, calibrated: FloatArray, resamples: Resamples) -> float:
    """Find the probability of class 1 from which it is the answer, by balanced accuracy on validation.

    1/2 stays unless choosing a threshold is better beyond chance: the best of many is the best by luck as well, so that
    each part of the groups is answered by a threshold that the other parts chose.

    Args:
        y_true: (n,) 0 or 1.
        calibrated: (n, 2).
        resamples: Of the n images.

    Returns:
        In (0, 1).
    """
    scores = calibrated[:, 1]
    elsewhere = np.empty_like(scores)
    parts = _deal_groups(y_true, resamples)
    for part in range(PARTS):
        here = parts == part
        elsewhere[here] = _best_cut(y_true[~here], scores[~here])

    def balanced(thresholds: FloatArray | float) -> FloatArray:
        answers = (scores >= thresholds).astype(np.int64)
        return summed_metrics(group_statistics(y_true, calibrated, answers, resamples.codes).mix(resamples.weights))[
            "balanced_accuracy"
        ]

    gain = bootstrap_interval(balanced(elsewhere) - balanced(0.5), resamples.groups)
    return _best_cut(y_true, scores) if gain.low > 0 else 0.5


def _deal_groups(y_true: IntArray, resamples: Resamples) -> IntArray:
    """Part of each image, (n,): whole groups, dealt in the order of their share of class 1: parts are alike."""
    positive, size = (np.bincount(resamples.codes, weights, resamples.groups) for weights in (y_true, None))
    parts = np.empty(resamples.groups, dtype=np.int64)
    parts[np.argsort(positive / size, kind="stable")] = np.arange(resamples.groups) % PARTS
    return parts[resamples.codes]


def _best_cut(y_true: IntArray, scores: FloatArray) -> float:
    """The cut of the best balanced accuracy, of equals the nearest to 1/2; 1/2 where a class is missing."""
    positive, negative = np.sort(scores[y_true == 1]), np.sort(scores[y_true == 0])
    if not len(positive) or not len(negative):
        return 0.5
    places = np.unique(scores)
    cuts = np.append((places[1:] + places[:-1]) / 2, 0.5)
    recalls = 1 - np.searchsorted(positive, cuts) / len(positive) + np.searchsorted(negative, cuts) / len(negative)
    best = cuts[recalls >= recalls.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def find_abstention(right: IntArray, confidence: FloatArray, target_error: float) -> float | None:
    """Find the lowest confidence from which on answers err no more than a target.

    Args:
        right: (n,) whether each answer is right.
        confidence: (n,) calibrated probability of each answer.
        target_error: In [0, 1).

    Returns:
        What an answer's probability must reach; None where all answers together meet the target. Where none do, the
        confidence at which they err least, with a logged warning.
    """
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    errors = (np.cumsum(~right[order].astype(bool)) / np.arange(1, len(order) + 1))[ends]
    met = np.flatnonzero(errors <= target_error)
    if len(met) and met[-1] == len(ends) - 1:
        return None
    if not len(met):
        logger.warning(
            "evaluation.abstain_at_error: no confidence brings the error on validation to %g; the least is %g",
            target_error,
            errors.min(),
        )
    last = met[-1] if len(met) else int(np.flatnonzero(errors == errors.min())[-1])
    return float(confidence[order][ends[last]])


def ece_by_chance(probabilities: FloatArray, resamples: Resamples, seed: int) -> float:
    """Find what the calibration error stays below in 97.5 % of draws of truth from the probabilities themselves.

    The error of 15 bins is an average of absolute values, so that it lies above 0 where the true one is 0, and no
    interval around it holds 0 (Nixon et al. 2019, "Measuring Calibration in Deep Learning", section 4; consistency
    resampling: Bröcker and Smith 2007). Images of a group are no independent witnesses: one number is drawn for the
    group, and each of its images is right where that lies below its confidence.

    Args:
        probabilities: (n, k), rows summing to 1.
        resamples: Of the n images; as many draws are made.
        seed: Of the draws.

    Returns:
        In [0, 1]; NaN without any resamples.
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
