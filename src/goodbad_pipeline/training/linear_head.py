"""Regularised logistic regression on the features of a frozen network: fit the classifier, or choose a resolution."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import scipy  # loads scipy.special and scipy.stats when they are used
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from goodbad_pipeline.evaluation.comparison import compare_losses
from goodbad_pipeline.evaluation.metrics import log_losses
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.batches import predict
from goodbad_pipeline.training.interpolation import UNKNOWN_SKILL

logger = logging.getLogger(__name__)

FOLDS = 5
STRENGTHS = tuple(10.0 ** (half / 2) for half in range(-8, 1))
"""Values of C, the inverse of the L2 penalty, in the order in which they are tried."""
DEFAULT_STRENGTH = 10.0**-2.5
"""The value of C if no cross-validation is possible, for example because all images are of one group."""

LEAST_DEVIATION = 0.3
"""The least standard deviation by which a feature is divided, as a fraction of the median of all deviations."""


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of each image by classifiers that were fitted without the image's group."""

    probabilities: np.ndarray  # float64, shape (n, classes)
    strength: float  # C, see `STRENGTHS`


_Fold = tuple[np.ndarray, np.ndarray]  # indices of the images to fit and of the images to predict
_Weights = tuple[np.ndarray, np.ndarray]  # kernel (features, classes) and bias (classes,)


@dataclass(frozen=True)
class LinearHead:
    """The weights of a dense layer with softmax, and the cross-validated losses by which its L2 penalty was chosen."""

    kernel: np.ndarray  # float32, shape (features, classes)
    bias: np.ndarray  # float32, shape (classes,)
    strength: float  # C, see `STRENGTHS`
    losses: np.ndarray  # cross-validated log loss of each training image, shape (n,); empty without cross-validation
    skill: float  # 0: log loss as if only the class frequencies were known; 1: no loss

    @property
    def evidence(self) -> str:
        """C and the mean of ``losses`` as text for a log line."""
        loss = f"cross-validated log loss {self.losses.mean():.4f}" if len(self.losses) else "no cross-validation"
        return f"C = {self.strength:.2g}, {loss}"

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, classes)."""
        return scipy.special.softmax(features @ self.kernel + self.bias, axis=1)


def fit_linear_head(
    features: np.ndarray,
    y_true: np.ndarray,
    groups: np.ndarray,
    classes: int,
    seed: int,
    class_weights: np.ndarray | None = None,
) -> LinearHead:
    """Fit the classifier to the features (n, c) of the training images.

    The L2 penalty is chosen from `STRENGTHS` by the log loss in a cross-validation that keeps each group in one fold.
    The features are standardised for the fit, but the returned layer takes features that are not standardised.
    ``class_weights`` (classes,) are the weights of the classes in the loss.
    """
    weights = np.ones(len(y_true)) if class_weights is None else class_weights[y_true]
    with threadpool_limits(1):  # several threads would wait for threads of Keras and use 25 times the processor time
        held_out = _choose_strength(features, y_true, weights, classes, _folds(y_true, groups, seed))
        strength = held_out.strength
        kernel, bias = next(_fit_path(features, y_true, weights, classes, [strength]))
    losses = log_losses(y_true[: len(held_out.probabilities)], held_out.probabilities)
    skill = UNKNOWN_SKILL
    if len(losses):
        by_frequency = scipy.stats.entropy(np.bincount(y_true))
        skill = float(np.clip(1 - losses.mean() / by_frequency, 0, 1)) if by_frequency else UNKNOWN_SKILL
    return LinearHead(kernel.astype(np.float32), bias.astype(np.float32), strength, losses, skill)


def predict_out_of_fold(
    features: np.ndarray,
    y_true: np.ndarray,
    groups: np.ndarray,
    classes: int,
    seed: int,
    folds: int = FOLDS,
    strengths: Sequence[float] = STRENGTHS,
) -> OutOfFold:
    """Predict each image in a cross-validation that keeps each group in one fold.

    Of ``strengths``, the value of C with the lowest log loss is chosen. There must be images of two groups.
    """
    with threadpool_limits(1):
        return _choose_strength(
            features, y_true, np.ones(len(y_true)), classes, _folds(y_true, groups, seed, folds), strengths
        )


def pooled_outputs(network: keras.Model) -> keras.Model:
    """Return a model whose outputs are the features of the network and the mean of each residual block's output.

    Blocks in the middle of the network describe texture and quality, which the last features have forgotten.
    """
    blocks = [layer.output for layer in network.layers if layer.name.endswith("_add")]
    means = [keras.ops.mean(output, axis=(1, 2)) for output in blocks]
    features = network.get_layer("avg_pool").output
    return keras.Model(network.input, keras.ops.concatenate([features, *means], axis=-1))


def candidate_resolutions(resolutions: Sequence[int], sides: np.ndarray) -> list[int]:
    """Return the ascending ``resolutions`` below the median of the image ``sides``, and the next resolution."""
    return [side for side, smaller in zip(resolutions, (0, *resolutions), strict=False) if smaller < np.median(sides)]


def compare_resolutions(
    resolutions: Sequence[int],
    build: Callable[[int], keras.Model],
    load: Callable[[int], LabelledPixels],
    seed: int,
) -> pd.DataFrame:
    """Compare resolutions by the cross-validated log losses of a logistic regression on the training images.

    ``build`` and ``load`` return the network and the images for a resolution. The smallest resolution whose log loss is
    within one standard error of the best log loss is chosen.

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


def _folds(y_true: np.ndarray, groups: np.ndarray, seed: int, most: int = FOLDS) -> list[_Fold]:
    """Return at most ``most`` folds with similar shares of the classes. A fold may lack a class that has few groups."""
    largest = np.bincount(y_true).max()  # scikit-learn requires a class with as many images as there are folds
    count = min(most, len(np.unique(groups)), largest)
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class has fewer images than there are folds
        folds = list(splitter.split(y_true, y_true, groups))
    return [(fitted, held) for fitted, held in folds if len(fitted) and len(held)]


def _choose_strength(
    features: np.ndarray,
    y_true: np.ndarray,
    weights: np.ndarray,
    classes: int,
    folds: Sequence[_Fold],
    strengths: Sequence[float] = STRENGTHS,
) -> OutOfFold:
    """Return the predictions for the best C; no predictions if there are no folds.

    The search ends after two values in a row without improvement.
    """
    best = OutOfFold(np.zeros((0, classes)), DEFAULT_STRENGTH)
    if not folds:
        return best
    paths = [_fit_path(features[fitted], y_true[fitted], weights[fitted], classes, strengths) for fitted, _ in folds]
    lowest, risen = np.inf, 0
    for strength in strengths:
        probabilities = np.empty((len(y_true), classes))
        for path, (_, held) in zip(paths, folds, strict=True):
            kernel, bias = next(path)
            probabilities[held] = scipy.special.softmax(features[held] @ kernel + bias, axis=1)
        loss = np.average(log_losses(y_true, probabilities), weights=weights)
        if loss < lowest:
            best, lowest, risen = OutOfFold(probabilities, strength), loss, 0
        else:
            risen += 1
        if risen == 2:
            break
    return best


def _fit_path(
    features: np.ndarray, y_true: np.ndarray, weights: np.ndarray, classes: int, strengths: Sequence[float]
) -> Iterator[_Weights]:
    """Yield the weights for each value of C; each fit starts from the result of the previous fit.

    Each fit uses an additional image, which has average features and belongs to every class equally. So even a class
    without images gets a probability above 0.
    """
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    # A feature that hardly varies in these images may differ by many standard deviations in other images.
    deviation = np.maximum(deviation, LEAST_DEVIATION * np.median(deviation))
    deviation[deviation == 0] = np.inf
    standardised = np.concatenate([(features - mean) / deviation, np.zeros((classes, len(mean)))]).astype(np.float32)
    labels = np.concatenate([y_true, np.arange(classes)])
    all_weights = np.concatenate([weights, np.full(classes, 1 / classes)])
    regression = LogisticRegression(tol=1e-3, max_iter=300, warm_start=True)
    for strength in strengths:
        regression.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the log loss judges such a fit too
            regression.fit(standardised, labels, all_weights)
        kernel, bias = regression.coef_.T.astype(np.float64), regression.intercept_.astype(np.float64)
        if classes == 2:  # scikit-learn returns only the difference between the two classes
            kernel, bias = np.hstack([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
        kernel = kernel / deviation[:, None]
        yield kernel, bias - mean @ kernel
