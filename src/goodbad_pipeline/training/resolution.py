"""Choose the resolution of a network: compare classifiers on the features of the frozen network at each resolution."""

import logging
from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.comparison import compare_losses
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.batches import predict
from goodbad_pipeline.training.linear_head import fit_linear_head

logger = logging.getLogger(__name__)


def candidate_resolutions(resolutions: Sequence[int], sides: np.ndarray) -> list[int]:
    """Return the ascending ``resolutions`` up to the first that is at least the median of the images' ``sides``."""
    return [side for side, smaller in zip(resolutions, (0, *resolutions), strict=False) if smaller < np.median(sides)]


def compare_resolutions(
    resolutions: Sequence[int],
    build: Callable[[int], keras.Model],
    load: Callable[[int], LabelledPixels],
    seed: int,
) -> pd.DataFrame:
    """Compare resolutions by the cross-validated log losses of a logistic regression on the training images.

    ``build`` returns the network for a resolution, and ``load`` the images. The chosen resolution is the smallest
    resolution whose log loss is within one standard error of the best log loss.

    Returns:
        One row per resolution: resolution, the columns of `compare_losses`, and chosen.
    """
    losses = []
    for side in resolutions:
        network, images = build(side), load(side)
        backbone = keras.Model(network.input, network.get_layer("avg_pool").output)
        features = predict(backbone, images.pixels, images.rows)
        head = fit_linear_head(features, images.y_true, images.groups, images.classes, seed)
        logger.info("Logistic regression on the features at %d pixels: %s", side, head.evidence)
        losses.append(head.losses)
    table = compare_losses(np.stack(losses), images.groups)
    table.insert(0, "resolution", list(resolutions))
    return table.assign(chosen=table.index == (table["excess"] <= table["chance"]).idxmax())
