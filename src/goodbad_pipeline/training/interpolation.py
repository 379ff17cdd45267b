"""Weights between the frozen and the fine-tuned network (WiSE-FT, arXiv 2109.01903), chosen on validation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.comparison import LOSS_COLUMNS, compare_losses

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Factors of the candidates: 0 is the frozen network with its classifier, 1 the fine-tuned network."""
UNKNOWN_SKILL = 0.5
"""The skill of a frozen network that was not measured by cross-validation."""


def interpolate(frozen: Sequence[np.ndarray], tuned: Sequence[np.ndarray], factor: float) -> list[np.ndarray]:
    """Return the weights at ``factor`` of the way from frozen to tuned weights; equal weights stay the same bits."""
    if factor == 1:
        return list(tuned)
    return [(old + factor * (new - old)).astype(old.dtype) for old, new in zip(frozen, tuned, strict=True)]


def candidate_table(losses: np.ndarray, groups: np.ndarray, factors: Sequence[float], skill: float) -> pd.DataFrame:
    """Compare candidates by their log losses on the validation images: shape (candidates, n).

    Chosen is, of the factors whose mean loss exceeds the lowest by no more than chance, the one nearest to 1 - skill/2.
    ``skill`` (0–1) is that of the frozen network on the train split. If it is useless, nothing of it is worth keeping;
    if it makes hardly any errors, the middle is best.

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
