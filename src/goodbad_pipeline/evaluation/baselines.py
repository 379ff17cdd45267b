"""What a model must beat: the majority class, and the colours alone."""

from typing import TYPE_CHECKING

import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, PixelArray

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

BLOCK_PIXELS = 2**20
"""Pixels worked on at a time: some 20 MB of scratch, however many pictures there are."""


def majority_baseline(train_truth: IntArray, n_test: int, classes: int) -> FloatArray:
    """Answer every picture with the class frequencies of the training split.

    The likeliest class is the majority (the first of equals), so accuracy is the majority's share, ROC AUC is 0.5 and
    log loss is the entropy that knowing the frequencies leaves.

    Args:
        train_truth: (n,) class indices in [0, classes), n ≥ 1.
        n_test: pictures to answer.
        classes: number of classes k.

    Returns:
        (n_test, k), every row the same.

    Raises:
        InputError: for an empty training split, or an index out of range.
    """
    _check_truth(train_truth, classes)
    frequencies = np.bincount(train_truth, minlength=classes) / len(train_truth)
    return np.tile(frequencies, (n_test, 1))


def colour_histograms(pixels: PixelArray, bins: int = 8) -> FloatArray:
    """Count how often each colour comes up in each picture; where it comes up is lost.

    Pictures are read block by block, so that a memory-mapped array larger than memory will do.

    Args:
        pixels: (n, h, w, 3) 8-bit RGB.
        bins: equal intervals for each channel, 2 to 32.

    Returns:
        (n, bins³) float32, shares in [0, 1] of the picture, each row summing to 1; red varies slowest.

    Raises:
        InputError: for another shape or type, or bins out of range.
    """
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape[1:]:
        raise InputError(f"pixels: {pixels.dtype} of shape {pixels.shape}; give 8-bit RGB (n, h, w, 3)")
    if not 2 <= bins <= 32:
        raise InputError(f"bins: {bins}; give 2 to 32 intervals for each channel")
    count, height, width, _ = pixels.shape
    histograms = np.empty((count, bins**3), dtype=np.float32)
    step = max(1, BLOCK_PIXELS // (height * width))
    for start in range(0, count, step):
        histograms[start : start + step] = _block_histograms(pixels[start : start + step], bins)
    return histograms


def histogram_baseline(
    train_pixels: PixelArray, train_truth: IntArray, test_pixels: PixelArray, classes: int, seed: int
) -> FloatArray:
    """Classify by colour alone: logistic regression on colour histograms.

    Args:
        train_pixels: (n, h, w, 3) 8-bit RGB.
        train_truth: (n,) class indices in [0, classes).
        test_pixels: (m, h, w, 3) 8-bit RGB.
        classes: number of classes k.
        seed: of the solver.

    Returns:
        (m, k), rows summing to 1. A class without training pictures gets 0; a lone class gets 1.

    Raises:
        InputError: for pictures and truth that do not match, or that `colour_histograms` refuses.
    """
    _check_truth(train_truth, classes)
    if len(train_pixels) != len(train_truth):
        raise InputError(
            f"train_truth: {len(train_truth)} class indices for {len(train_pixels)} pictures; give one each"
        )
    present = np.unique(train_truth)
    if len(present) == 1:
        return majority_baseline(train_truth, len(test_pixels), classes)
    probabilities = np.zeros((len(test_pixels), classes))
    if len(test_pixels):
        model = _colour_classifier(seed).fit(colour_histograms(train_pixels), train_truth)
        probabilities[:, present] = model.predict_proba(colour_histograms(test_pixels))
    return probabilities


def _colour_classifier(seed: int) -> "Pipeline":
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - slow to import
    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415 - slow to import

    # Roots of shares have length 1 whatever the picture, and differ by their Hellinger distance. A scaler would instead
    # blow up the rare colours of single pictures. On vectors of length 1 a C of 10 is a moderate penalty.
    return make_pipeline(FunctionTransformer(np.sqrt), LogisticRegression(C=10.0, max_iter=2000, random_state=seed))


def _block_histograms(block: PixelArray, bins: int) -> FloatArray:
    pictures = len(block)
    levels = (np.arange(256) * bins // 256).astype(np.int64)
    red, green, blue = (levels[block[..., channel]].reshape(pictures, -1) for channel in range(3))
    codes = (red * bins + green) * bins + blue + np.arange(pictures)[:, None] * bins**3
    counts = np.bincount(codes.ravel(), minlength=pictures * bins**3).reshape(pictures, bins**3)
    return (counts / codes.shape[1]).astype(np.float32)


def _check_truth(train_truth: IntArray, classes: int) -> None:
    if len(train_truth) == 0:
        raise InputError("train_truth: no training pictures; the training split must not be empty")
    low, high = int(train_truth.min()), int(train_truth.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"train_truth: class indices from {low} to {high}; with {classes} classes they run from 0 to {classes - 1}"
        )
