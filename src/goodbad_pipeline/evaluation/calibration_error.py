"""How large a calibration error comes out for a model that has none: few pictures never fit their bins exactly."""

import numpy as np

from goodbad_pipeline.evaluation.arrays import FloatArray
from goodbad_pipeline.evaluation.ranking import BLOCK
from goodbad_pipeline.evaluation.resampling import CONFIDENCE, Resamples
from goodbad_pipeline.evaluation.sums import BINS, confidence_bins


def ece_by_chance(probabilities: FloatArray, resamples: Resamples, seed: int) -> float:
    """Find what the calibration error stays below in 97.5 % of draws of truth from the probabilities themselves.

    The error of 15 bins is an average of absolute values, so that it lies above 0 where the true one is 0, and no
    interval around it holds 0 (Nixon et al. 2019, "Measuring Calibration in Deep Learning", section 4; consistency
    resampling: Bröcker and Smith 2007). Pictures of a group are no independent witnesses: one number is drawn for the
    group, and each of its pictures is right where that lies below its confidence.

    Args:
        probabilities: (n, k), rows summing to 1.
        resamples: Of the n pictures; as many draws are made.
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
