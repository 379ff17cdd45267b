"""Metrics as functions of sums over pictures, so that thousands of resamples cost one matrix product."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray

BINS = 15
"""Equal bins of confidence for the calibration error, as in Guo et al. 2017."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sums over pictures, one row per group, or per mixture of groups.

    Attributes:
        correct: (rows, k) pictures of each class that were answered right.
        support: (rows, k) pictures of each class.
        predicted: (rows, k) answers of each class.
        loss: (rows, 2) sums of the log loss and of the Brier score.
        bins: (rows, 3, BINS) pictures, their confidence and their right answers by bin of confidence.
    """

    correct: Values
    support: Values
    predicted: Values
    loss: Values
    bins: Values

    def mix(self, weights: Values) -> "Sums":
        """Return the sums of weighted groups: weights (b, rows) give b rows."""
        bins = (weights @ self.bins.reshape(len(self.bins), -1)).reshape(len(weights), 3, BINS)
        return Sums(weights @ self.correct, weights @ self.support, weights @ self.predicted, weights @ self.loss, bins)

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both, row by row."""
        return Sums(
            self.correct + other.correct,
            self.support + other.support,
            self.predicted + other.predicted,
            self.loss + other.loss,
            self.bins + other.bins,
        )


def sum_groups(truth: IntArray, probabilities: FloatArray, chosen: IntArray, codes: IntArray) -> Sums:
    """Sum up each group's answers.

    Args:
        truth: (n,) class indices.
        probabilities: (n, k) float64, rows summing to 1.
        chosen: (n,) class index of each answer.
        codes: (n,) group of each picture, 0 to g - 1.
    """
    groups, classes = int(codes.max()) + 1, probabilities.shape[1]
    right = (chosen == truth).astype(np.float64)
    confidence = probabilities.max(axis=1)
    bins = confidence_bins(confidence)

    def table(columns: IntArray, width: int, weights: Values | None = None) -> Values:
        return np.bincount(codes * width + columns, weights, groups * width).reshape(groups, width).astype(np.float64)

    # Of two classes the Brier score is that of one of them, as everybody means it; of more it is the sum over all.
    brier = ((probabilities - np.eye(classes)[truth]) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    zeros = np.zeros_like(truth)
    binned = [
        table(bins, BINS),
        table(bins, BINS, confidence),
        table(bins, BINS, (probabilities.argmax(axis=1) == truth).astype(np.float64)),
    ]
    return Sums(
        correct=table(truth, classes, right),
        support=table(truth, classes),
        predicted=table(chosen, classes),
        loss=np.concatenate([table(zeros, 1, log_losses(truth, probabilities)), table(zeros, 1, brier)], axis=1),
        bins=np.stack(binned, axis=1),
    )


def confidence_bins(confidence: FloatArray) -> NDArray[np.int64]:
    """Bin of each confidence (n,) in [0, 1]: 0 to BINS - 1."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def log_losses(truth: IntArray, probabilities: FloatArray) -> Values:
    """Log loss of each picture in nats, (n,); clipped at the smallest double step, so that none is infinite."""
    eps = np.finfo(np.float64).eps
    return -np.log(np.clip(probabilities[np.arange(len(truth)), truth], eps, 1 - eps))


def summed_metrics(sums: Sums) -> dict[str, Values]:
    """Compute what can be computed from sums: accuracy, balanced_accuracy, f1_macro, log_loss, brier, ece; (rows,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = sums.support.sum(axis=1)
        gaps = np.abs(sums.bins[:, 1] - sums.bins[:, 2]).sum(axis=1)
        return {
            "accuracy": sums.correct.sum(axis=1) / total,
            "balanced_accuracy": _mean(sums.correct / sums.support),
            "f1_macro": _mean(2 * sums.correct / (sums.support + sums.predicted)),
            "log_loss": sums.loss[:, 0] / total,
            "brier": sums.loss[:, 1] / total,
            "ece": gaps / total,
        }


def summed_class_metrics(sums: Sums) -> dict[str, Values]:
    """Compute precision, recall and f1 of each class, (rows, k); NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": sums.correct / sums.predicted,
            "recall": sums.correct / sums.support,
            "f1": 2 * sums.correct / (sums.support + sums.predicted),
        }


def _mean(values: Values) -> Values:
    """Mean over the classes that have a value; a resample may hold none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=1)
