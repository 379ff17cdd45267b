"""Mix the weights of a frozen and a fine-tuned network, as the validation losses decide (WiSE-FT, arXiv 2109.01903).

The frozen network has its initial weights and a trained classifier. Each candidate is one mixture of the weights of
the frozen network and the weights of the fine-tuned network.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.comparison import LOSS_COLUMNS, compare_losses

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Factors of the candidates, from the frozen network (0) to the fine-tuned network (1)."""
UNKNOWN_SKILL = 0.5
"""The ``skill`` (see `candidate_table`) of a frozen network if no cross-validation measured it."""


def interpolate(frozen: Sequence[np.ndarray], tuned: Sequence[np.ndarray], factor: float) -> list[np.ndarray]:
    """Return the weights at ``factor`` of the way from ``frozen`` to ``tuned``. Equal weights stay exactly equal."""
    if factor == 1:
        return list(tuned)
    return [(old + factor * (new - old)).astype(old.dtype) for old, new in zip(frozen, tuned, strict=True)]


def candidate_table(losses: np.ndarray, groups: np.ndarray, factors: Sequence[float], skill: float) -> pd.DataFrame:
    """Compare the candidates by ``losses``, their log losses on the validation images: shape (candidates, n).

    Only candidates whose mean loss is within one standard error of the lowest mean loss may be chosen. Among these
    candidates, the factor nearest to 1 - ``skill``/2 is chosen. ``skill`` measures how good the frozen network is: 0 if
    it predicts no better than the class frequencies of the train split, 1 if its loss is 0.

    Returns:
        One row per candidate: factor, the columns of `compare_losses`, and chosen.
    """
    if not len(factors):
        return pd.DataFrame(columns=["factor", *LOSS_COLUMNS, "chosen"])
    table = compare_losses(losses, groups)
    distance = np.abs(np.array(factors) - (1 - skill / 2))
    distance[table["excess"] > table["chance"]] = np.inf
    table.insert(0, "factor", np.array(factors, np.float64))
    return table.assign(chosen=np.arange(len(factors)) == distance.argmin())
