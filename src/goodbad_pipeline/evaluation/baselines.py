"""Baselines that a network must beat: the majority class, the colours alone, and the file properties alone.

Each function named ``…_baseline`` fits a baseline to the training split, whose class indices are ``y_train`` (n,). The
function returns the probabilities (m, classes) of the test images. Each row of probabilities sums to 1, and a class
without training images has probability 0.
"""

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from goodbad_pipeline.evaluation.predictions import BoolArray, FloatArray, IntArray, PixelArray

BLOCK_PIXELS = 2**20
"""Number of pixels to process at a time, so that temporary arrays take at most about 20 MB."""


def majority_baseline(y_train: IntArray, n_test: int, classes: int) -> FloatArray:
    """Return the class frequencies of the training split as the prediction for every test image."""
    frequencies = np.bincount(y_train, minlength=classes) / len(y_train)
    return np.tile(frequencies, (n_test, 1))


def histogram_baseline(
    train_pixels: PixelArray, y_train: IntArray, test_pixels: PixelArray, classes: int, seed: int
) -> FloatArray:
    """Predict the class of each test image by logistic regression on its colour histogram."""
    present = np.unique(y_train)
    if len(present) == 1:
        return majority_baseline(y_train, len(test_pixels), classes)
    probabilities = np.zeros((len(test_pixels), classes))
    if len(test_pixels):
        # The square roots of the shares form a vector of length 1, and the distance between two such vectors is the
        # Hellinger distance. Scaling the features would inflate colours that occur in few images. C = 10 is a moderate
        # penalty for vectors of length 1.
        model = make_pipeline(
            FunctionTransformer(np.sqrt), LogisticRegression(C=10.0, max_iter=2000, random_state=seed)
        )
        model.fit(colour_histograms(train_pixels), y_train)
        probabilities[:, present] = model.predict_proba(colour_histograms(test_pixels))
    return probabilities


def shortcut_baseline(
    train: pd.DataFrame, y_train: IntArray, test: pd.DataFrame, classes: int, seed: int
) -> FloatArray:
    """Predict the class of each test image by a random forest on its `file_features`."""
    if len(np.unique(y_train)) == 1 or test.empty:
        return majority_baseline(y_train, len(test), classes)
    # Without class weights, the forest would always predict the larger class, with a balanced accuracy of chance.
    forest = RandomForestClassifier(200, min_samples_leaf=5, class_weight="balanced", random_state=seed)
    forest.fit(train, y_train)
    probabilities = np.zeros((len(test), classes))
    probabilities[:, forest.classes_] = forest.predict_proba(test.reindex(columns=train.columns, fill_value=0.0))
    return probabilities


def colour_histograms(pixels: PixelArray, bins: int = 8) -> FloatArray:
    """Return the share of each colour among the pixels of each image: (n, bins³) float32, rows summing to 1.

    Each channel has ``bins`` equal intervals, and a colour is a combination of three intervals. Colours are sorted by
    red, then green, then blue. Images are read block by block, so that ``pixels`` may be a memory-mapped array larger
    than memory.
    """
    count, height, width, _ = pixels.shape
    histograms = np.empty((count, bins**3), dtype=np.float32)
    step = max(1, BLOCK_PIXELS // (height * width))
    for start in range(0, count, step):
        histograms[start : start + step] = _block_histograms(pixels[start : start + step], bins)
    return histograms


def file_features(table: pd.DataFrame, has_exif: BoolArray) -> pd.DataFrame:
    """Return properties of the files in ``table`` that do not depend on what the images show."""
    size, width, height = (table[name].astype(float) for name in ("size", "width", "height"))
    features = pd.DataFrame(
        {
            "size": size,
            "width": width,
            "height": height,
            "aspect": width / height,
            "bytes_per_pixel": size / (width * height),
            "exif": has_exif.astype(float),
        },
        index=table.index,
    )
    return features.join(pd.get_dummies(table["format"], prefix="format", dtype=float))


def _block_histograms(block: PixelArray, bins: int) -> FloatArray:
    images = len(block)
    levels = (np.arange(256) * bins // 256).astype(np.int64)
    red, green, blue = (levels[block[..., channel]].reshape(images, -1) for channel in range(3))
    codes = (red * bins + green) * bins + blue + np.arange(images)[:, None] * bins**3
    counts = np.bincount(codes.ravel(), minlength=images * bins**3).reshape(images, bins**3)
    return (counts / codes.shape[1]).astype(np.float32)
