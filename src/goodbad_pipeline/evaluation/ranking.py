"""ROC AUC and average precision of many resamples at once."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.arrays import FloatArray
from goodbad_pipeline.evaluation.resampling import Resamples

BLOCK = 2**22
"""Numbers worked on at a time: some 100 MB of scratch, however many pictures and resamples there are."""


def ranking_metrics(
    positive: NDArray[np.bool_], scores: FloatArray, resamples: Resamples
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute ROC AUC and average precision of every resample; pictures of equal score share a place.

    Args:
        positive: (n,) whether each picture is of the class that is sought.
        scores: (n,) higher for likelier.
        resamples: Of the n pictures.

    Returns:
        Two arrays (b + 1,); NaN for a resample that lacks positives or negatives.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    codes, is_positive = resamples.codes[order], positive[order]
    areas, precisions = [], []
    for weights in _blocks(resamples.weights, len(scores)):
        drawn = weights[:, codes]
        hits = np.add.reduceat(drawn * is_positive, starts, axis=1)
        misses = np.add.reduceat(drawn * ~is_positive, starts, axis=1)
        above, beside = hits.cumsum(axis=1), misses.cumsum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append((misses * (above - hits / 2)).sum(axis=1) / (above[:, -1] * beside[:, -1]))
            precision = np.nan_to_num(above / (above + beside))
            precisions.append((hits * precision).sum(axis=1) / above[:, -1])
    return np.concatenate(areas), np.concatenate(precisions)


def _blocks(rows: NDArray[np.float64], width: int) -> Iterator[NDArray[np.float64]]:
    step = max(1, BLOCK // max(width, 1))
    return (rows[start : start + step] for start in range(0, len(rows), step))
