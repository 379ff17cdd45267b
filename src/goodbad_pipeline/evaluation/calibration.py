"""What validation teaches about reading a model: temperature, threshold of two classes, and when to abstain."""

import logging

import numpy as np

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_predictions
from goodbad_pipeline.evaluation.decision import SMALLEST, Calibration, scale_temperature
from goodbad_pipeline.evaluation.resampling import Resamples, bootstrap_interval
from goodbad_pipeline.evaluation.sums import sum_groups, summed_metrics

logger = logging.getLogger(__name__)

TEMPERATURES = (0.05, 20.0)
PARTS = 5
"""Into so many parts validation is dealt to see what choosing a threshold gains."""


def fit_calibration(
    truth: IntArray,
    probabilities: FloatArray,
    class_names: list[str],
    resamples: Resamples,
    *,
    choose_threshold: bool = True,
    abstain_at_error: float | None = None,
) -> Calibration:
    """Fit everything on validation: temperature first, the rest on what it gives.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities: (n, k), the model's own.
        class_names: The k classes.
        resamples: Of the n pictures.
        choose_threshold: Whether a threshold of two classes other than 1/2 may be chosen.
        abstain_at_error: Error, in [0, 1), that answers may have; None: never abstain.
    """
    values = check_predictions(truth, probabilities)
    temperature = fit_temperature(truth, values)
    calibrated = scale_temperature(values, temperature)
    threshold = find_threshold(truth, calibrated, resamples) if choose_threshold and len(class_names) == 2 else None
    reading = Calibration(class_names, temperature, threshold)
    if abstain_at_error is None:
        return reading
    chosen = reading.choose(calibrated)
    confidence = np.take_along_axis(calibrated, chosen[:, None], axis=1)[:, 0]
    cut = find_abstention(chosen == truth, confidence, abstain_at_error)
    return Calibration(class_names, temperature, threshold, cut)


def fit_temperature(truth: IntArray, probabilities: FloatArray) -> float:
    """Find the temperature under which validation is likeliest (Guo et al. 2017).

    Targets are (1 + their count) out of (k + all), Platt's (1999) guard: where validation has no error at all, nothing
    else would keep the temperature from falling to 0, and every later answer from being called certain.

    Args:
        truth: (n,) class indices.
        probabilities: (n, k), rows summing to 1.

    Returns:
        In `TEMPERATURES`.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - slow to import

    count, classes = probabilities.shape
    logits = np.log(np.maximum(probabilities, SMALLEST))
    targets = (np.eye(classes)[truth] * count + 1) / (count + classes)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        return float(np.mean(normaliser - (targets * scaled).sum(axis=1)))

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def find_threshold(truth: IntArray, calibrated: FloatArray, resamples: Resamples) -> float:
    """Find the probability of class 1 from which it is the answer, by balanced accuracy on validation.

    1/2 stays unless choosing a threshold is better beyond chance: the best of many is the best by luck as well, so that
    each part of the groups is answered by a threshold that the other parts chose.

    Args:
        truth: (n,) 0 or 1.
        calibrated: (n, 2).
        resamples: Of the n pictures.

    Returns:
        In (0, 1).
    """
    scores = calibrated[:, 1]
    elsewhere = np.empty_like(scores)
    parts = _deal_groups(truth, resamples)
    for part in range(PARTS):
        here = parts == part
        elsewhere[here] = _best_cut(truth[~here], scores[~here])

    def balanced(thresholds: FloatArray | float) -> FloatArray:
        answers = (scores >= thresholds).astype(np.int64)
        return summed_metrics(sum_groups(truth, calibrated, answers, resamples.codes).mix(resamples.weights))[
            "balanced_accuracy"
        ]

    gain = bootstrap_interval(balanced(elsewhere) - balanced(0.5), resamples.groups)
    return _best_cut(truth, scores) if gain.low > 0 else 0.5


def _deal_groups(truth: IntArray, resamples: Resamples) -> IntArray:
    """Part of each picture, (n,): whole groups, dealt in the order of their share of class 1: parts are alike."""
    positive, size = (np.bincount(resamples.codes, weights, resamples.groups) for weights in (truth, None))
    parts = np.empty(resamples.groups, dtype=np.int64)
    parts[np.argsort(positive / size, kind="stable")] = np.arange(resamples.groups) % PARTS
    return parts[resamples.codes]


def _best_cut(truth: IntArray, scores: FloatArray) -> float:
    """The cut of the best balanced accuracy, of equals the nearest to 1/2; 1/2 where a class is missing."""
    positive, negative = np.sort(scores[truth == 1]), np.sort(scores[truth == 0])
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
