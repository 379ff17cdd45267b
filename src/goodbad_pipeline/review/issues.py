"""Images that need a look for reasons other than a wrong label.

Brightness and blur are measured on decoded pixels at the resolution of the network. cleanvision has such measures too,
but would read and decode every file again, and only files in folders.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy  # loads scipy.ndimage when it is used
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.predictions import FloatArray, IntArray

LABEL, OUTLIER, NEAR_DUPLICATE = "label", "outlier", "near_duplicate"
ISSUES = {
    LABEL: "The label is probably wrong",
    OUTLIER: "The image resembles no image of another group",
    "dark": "The image is dark",
    "overexposed": "The image is overexposed",
    "blurred": "The image is blurred",
    "uniform": "The image is nearly uniform",
    "odd_size": "The size of the image is unusual",
    "odd_aspect_ratio": "The image is very wide or very high",
    NEAR_DUPLICATE: "A near-duplicate of the image has another label",
}
"""Values of the column ``issue`` in the order of priority, and what a person reads."""

MEASURES = ["darkest", "brightest", "contrast", "sharpness"]
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def measure_pixels(pixels: Iterable[NDArray[np.uint8]], sizes: IntArray, *, padded: bool) -> pd.DataFrame:
    """Measure images, each uint8 (side, side, 3). ``sizes`` (n, 2) holds width and height of each file.

    Returns:
        darkest and brightest: the 5th and 99th percentile of the luminance; contrast: its standard deviation;
        sharpness: the standard deviation of its Laplacian, as a share of the contrast. Luminance is 0–1. If images are
        ``padded``, the padding does not count.
    """
    rows = []
    for image, (width, height) in zip(pixels, sizes, strict=True):
        luminance: FloatArray = image @ _LUMINANCE / 255
        if padded:
            luminance = _without_padding(luminance, width / max(width, height), height / max(width, height))
        darkest, brightest = np.percentile(luminance, [5, 99])
        contrast = luminance.std()
        sharpness = scipy.ndimage.laplace(luminance).std() / max(contrast, 1e-3)
        rows.append((darkest, brightest, contrast, sharpness))
    return pd.DataFrame(rows, columns=MEASURES)


def _without_padding(square: FloatArray, width: float, height: float) -> FloatArray:
    side = len(square)
    left, top = (int((1 - share) / 2 * side) for share in (width, height))
    return square[top : max(side - top, top + 1), left : max(side - left, left + 1)]


def find_issues(
    images: pd.DataFrame, measures: pd.DataFrame, similarity: FloatArray, limits: dict[str, float]
) -> pd.DataFrame:
    """Return which issues each image has, one column per issue except ``label``.

    Args:
        images: width, height, label and copies.
        measures: The result of `measure_pixels`, a row per image.
        similarity: Mean similarity of each image to its nearest neighbours of other groups, (n,).
        limits: The parameters ``review.limits``.
    """
    side = np.sqrt(images["width"] * images["height"].astype(np.float64))
    aspect = images["width"] / images["height"]
    uniform = (measures["contrast"] < limits["uniform"]).to_numpy()
    soft = (measures["sharpness"] < limits["blurred"] * measures["sharpness"].median()).to_numpy()
    typical = float(np.median(similarity))
    labels = images.groupby("copies")["label"].transform("nunique")
    return pd.DataFrame(
        {
            OUTLIER: (typical > 0) & (similarity < limits["outlier"] * typical),  # below 0 with very few images
            "dark": (measures["brightest"] < limits["dark"]).to_numpy(),
            "overexposed": (measures["darkest"] > limits["overexposed"]).to_numpy(),
            "blurred": soft & ~uniform,
            "uniform": uniform,
            "odd_size": np.abs(np.log2(side / side.median())) > np.log2(limits["odd_size"]),
            "odd_aspect_ratio": np.abs(np.log2(aspect)) > np.log2(limits["odd_aspect_ratio"]),
            NEAR_DUPLICATE: labels > 1,
        },
        index=images.index,
    )


def name_issues(found: pd.DataFrame) -> NDArray[np.object_]:
    """Return the first issue of each image in the order of `ISSUES`, or an empty text."""
    ordered = found[list(ISSUES)].to_numpy(bool)
    return np.where(ordered.any(axis=1), np.array(list(ISSUES), object)[ordered.argmax(axis=1)], "")
