"""Can a label be guessed without looking at the picture? From the file alone: size, dimensions, format, EXIF."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray
from goodbad_pipeline.evaluation.baselines import majority_baseline
from goodbad_pipeline.evaluation.resampling import Interval

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


def shortcut_baseline(train: pd.DataFrame, truth: IntArray, test: pd.DataFrame, classes: int, seed: int) -> FloatArray:
    """Classify by the files alone: a random forest on `file_features`.

    Args:
        train: (n rows) features.
        truth: (n,) class indices in [0, classes).
        test: (m rows) features.
        classes: number of classes k.
        seed: of the forest.

    Returns:
        (m, k), rows summing to 1; a class without training pictures gets 0.
    """
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - slow to import

    if len(np.unique(truth)) == 1 or test.empty:
        return majority_baseline(truth, len(test), classes)
    # Weighted, or of unequal classes it would answer the larger always and be no better than chance on balance.
    forest = RandomForestClassifier(200, min_samples_leaf=5, class_weight="balanced", random_state=seed)
    forest.fit(train, truth)
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
        "The model may have learnt how pictures were made, not what they show."
    )
