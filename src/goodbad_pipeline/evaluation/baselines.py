"""What a model must beat: the majority class, and the colours alone."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, PixelArray
from goodbad_pipeline.evaluation.bootstrap import Interval

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


BLOCK_PIXELS = 2**20
"""Pixels worked on at a time: some 20 MB of scratch, however many images there are."""


def majority_baseline(y_train: IntArray, n_test: int, classes: int) -> FloatArray:
    """Answer every image with the class frequencies of the training split.

    The likeliest class is the majority (the first of equals), so accuracy is the majority's share, ROC AUC is 0.5 and
    log loss is the entropy that knowing the frequencies leaves.

    Args:
        y_train: (n,) class indices in [0, classes), n ≥ 1.
        n_test: images to answer.
        classes: number of classes k.

    Returns:
        (n_test, k), every row the same.

    Raises:
        InputError: for an empty training split, or an index out of range.
    """
    _check_y_true(y_train, classes)
    frequencies = np.bincount(y_train, minlength=classes) / len(y_train)
    return np.tile(frequencies, (n_test, 1))


def colour_histograms(pixels: PixelArray, bins: int = 8) -> FloatArray:
    """Count how often each colour comes up in each image; where it comes up is lost.

    Images are read block by block, so that a memory-mapped array larger than memory will do.

    Args:
        pixels: (n, h, w, 3) 8-bit RGB.
        bins: equal intervals for each channel, 2 to 32.

    Returns:
        (n, bins³) float32, shares in [0, 1] of the image, each row summing to 1; red varies slowest.

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
    train_pixels: PixelArray, y_train: IntArray, test_pixels: PixelArray, classes: int, seed: int
) -> FloatArray:
    """Classify by colour alone: logistic regression on colour histograms.

    Args:
        train_pixels: (n, h, w, 3) 8-bit RGB.
        y_train: (n,) class indices in [0, classes).
        test_pixels: (m, h, w, 3) 8-bit RGB.
        classes: number of classes k.
        seed: of the solver.

    Returns:
        (m, k), rows summing to 1. A class without training images gets 0; a lone class gets 1.

    Raises:
        InputError: for images and truth that do not match, or that `colour_histograms` refuses.
    """
    _check_y_true(y_train, classes)
    if len(train_pixels) != len(y_train):
        raise InputError(f"train_truth: {len(y_train)} class indices for {len(train_pixels)} images; give one each")
    present = np.unique(y_train)
    if len(present) == 1:
        return majority_baseline(y_train, len(test_pixels), classes)
    probabilities = np.zeros((len(test_pixels), classes))
    if len(test_pixels):
        model = _colour_classifier(seed).fit(colour_histograms(train_pixels), y_train)
        probabilities[:, present] = model.predict_proba(colour_histograms(test_pixels))
    return probabilities


def _colour_classifier(seed: int) -> "Pipeline":
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - slow to import
    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415 - slow to import

    # Roots of shares have length 1 whatever the image, and differ by their Hellinger distance. A scaler would instead
    # blow up the rare colours of single images. On vectors of length 1 a C of 10 is a moderate penalty.
    return make_pipeline(FunctionTransformer(np.sqrt), LogisticRegression(C=10.0, max_iter=2000, random_state=seed))


def _block_histograms(block: PixelArray, bins: int) -> FloatArray:
    images = len(block)
    levels = (np.arange(256) * bins // 256).astype(np.int64)
    red, green, blue = (levels[block[..., channel]].reshape(images, -1) for channel in range(3))
    codes = (red * bins + green) * bins + blue + np.arange(images)[:, None] * bins**3
    counts = np.bincount(codes.ravel(), minlength=images * bins**3).reshape(images, bins**3)
    return (counts / codes.shape[1]).astype(np.float32)


def _check_y_true(y_train: IntArray, classes: int) -> None:
    if len(y_train) == 0:
        raise InputError("train_truth: no training images; the training split must not be empty")
    low, high = int(y_train.min()), int(y_train.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"train_truth: class indices from {low} to {high}; with {classes} classes they run from 0 to {classes - 1}"
        )


MARGIN = 0.05
"""Balanced accuracy above chance that is worth a warning."""


def file_features(table: pd.DataFrame, has_exif: NDArray[np.bool_]) -> pd.DataFrame:
    """Describe files without their pixels.

    Args:
        table: Rows of the labels dataframe, with size (bytes), width, height (pixels) and format.
        has_exif: (n,) whether each file holds EXIF.
    """
    pixels = (table["width"] * table["height"]).astype(float)
    features = pd.DataFrame(
        {
            "size": table["size"].astype(float),
            "width": table["width"].astype(float),
            "height": table["height"].astype(float),
            "aspect": table["width"].astype(float) / table["height"],
            "bytes_per_pixel": table["size"] / pixels,
            "exif": has_exif.astype(float),
        },
        index=table.index,
    )
    return features.join(pd.get_dummies(table["format"], prefix="format", dtype=float))


def shortcut_baseline(train: pd.DataFrame, y_true: IntArray, test: pd.DataFrame, classes: int, seed: int) -> FloatArray:
    """Classify by the files alone: a random forest on `file_features`.

    Args:
        train: (n rows) features.
        y_true: (n,) class indices in [0, classes).
        test: (m rows) features.
        classes: number of classes k.
        seed: of the forest.

    Returns:
        (m, k), rows summing to 1; a class without training images gets 0.
    """
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - slow to import

    if len(np.unique(y_true)) == 1 or test.empty:
        return majority_baseline(y_true, len(test), classes)
    # Weighted, or of unequal classes it would answer the larger always and be no better than chance on balance.
    forest = RandomForestClassifier(200, min_samples_leaf=5, class_weight="balanced", random_state=seed)
    forest.fit(train, y_true)
    probabilities = np.zeros((len(test), classes))
    probabilities[:, forest.classes_] = forest.predict_proba(test.reindex(columns=train.columns, fill_value=0.0))
    return probabilities


def shortcut_warning(balanced_accuracy: Interval, classes: int) -> str | None:
    """Say so where the files alone tell labels apart beyond chance; None where they do not."""
    if not balanced_accuracy.low > 1 / classes + MARGIN:
        return None
    score = balanced_accuracy
    return (
        "Labels can be guessed without looking: file size, dimensions, format and EXIF alone reach a balanced accuracy "
        f"of {score.value:.3f} (95 % interval {score.low:.3f} to {score.high:.3f}; chance is {1 / classes:.3f}). "
        "The model may have learnt how images were made, not what they show."
    )
