"""Logistic regression on features, against one on features that are standardised beforehand.

The choice of a resolution is tested with networks whose features tell the classes from 64 pixels on.
"""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from goodbad_pipeline.evaluation.metrics import log_losses
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.linear_head import (
    DEFAULT_STRENGTH,
    STRENGTHS,
    candidate_resolutions,
    compare_resolutions,
    fit_linear_head,
    pooled_outputs,
    predict_out_of_fold,
)


def sample(classes: int, count: int = 200, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features of different scales, one of them constant, with classes and groups of four images."""
    rng = np.random.default_rng(0)
    groups = np.arange(count) // 4
    y_true = (groups % classes).astype(np.int64)
    centres = rng.normal(size=(classes, 12))
    features = centres[y_true] + noise * rng.normal(size=(count, 12))
    scales = np.linspace(1, 3, 12)
    return np.hstack([features * scales + 5 * scales, np.full((count, 1), 7)]).astype(np.float32), y_true, groups


@pytest.mark.parametrize("classes", [2, 3])
def test_the_layer_predicts_like_a_regression_on_standardised_features(classes: int) -> None:
    features, y_true, groups = sample(classes)
    head = fit_linear_head(features, y_true, groups, classes, seed=0)
    moving = features[:, :-1].astype(np.float64)
    standardised = (moving - moving.mean(axis=0)) / moving.std(axis=0)
    expected = LogisticRegression(C=head.strength, tol=1e-6, max_iter=1000).fit(standardised, y_true)
    np.testing.assert_allclose(head.predict(features), expected.predict_proba(standardised), atol=0.02)
    assert not head.kernel[-1].any()  # the constant feature


def test_the_penalty_is_stronger_for_noisier_features() -> None:
    clear, noisy = (fit_linear_head(*sample(3, noise=noise), 3, seed=0) for noise in (0.3, 6.0))
    assert STRENGTHS[0] <= noisy.strength < clear.strength <= STRENGTHS[-1]
    assert len(clear.losses) == 200
    assert 0 <= noisy.skill < 0.3
    assert clear.skill > 0.9
    assert clear.losses.mean() < noisy.losses.mean() < 1.2  # about that of guessing, log 3, not above


def test_out_of_fold_predictions_are_those_that_choose_the_penalty() -> None:
    features, y_true, groups = sample(3, noise=3.0)
    held_out = predict_out_of_fold(features, y_true, groups, 3, seed=0)
    head = fit_linear_head(features, y_true, groups, 3, seed=0)
    assert held_out.strength == head.strength
    np.testing.assert_allclose(log_losses(y_true, held_out.probabilities), head.losses)
    other = predict_out_of_fold(features, y_true, groups, 3, seed=0, folds=2, strengths=[1.0])
    assert other.strength == 1.0
    assert np.abs(other.probabilities - held_out.probabilities).max() > 0.01


def test_pooled_outputs_are_the_last_features_and_the_mean_of_each_residual_block() -> None:
    inputs = keras.Input((8, 8, 3))
    block = keras.layers.Add(name="block1b_add")([inputs, inputs])
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="avg_pool")(block * 3))
    pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    mean = pixels.mean(axis=(1, 2))
    np.testing.assert_allclose(pooled_outputs(network)(pixels), np.hstack([6 * mean, 2 * mean]), rtol=1e-5)


def test_cross_validation_divides_no_group() -> None:
    """Each group has features of its own and a random class, so that only images of the same group tell its class."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    y_true = rng.integers(0, 2, 30)[groups]
    features = rng.normal(size=(30, 40))[groups].astype(np.float32)
    by_group = fit_linear_head(features, y_true, groups, 2, seed=0)
    by_image = fit_linear_head(features, y_true, np.arange(120), 2, seed=0)
    assert by_image.losses.mean() < 0.3
    assert by_group.losses.mean() > 0.6
    assert by_group.strength < by_image.strength


def test_the_same_seed_gives_the_same_bits() -> None:
    one, other = (fit_linear_head(*sample(3), 3, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.kernel, other.kernel)
    np.testing.assert_array_equal(one.bias, other.bias)


def test_a_feature_that_hardly_varied_in_training_does_not_dominate_other_images() -> None:
    features, y_true, groups = sample(2)
    features[:, -1] += np.float32(1e-3) * np.arange(200) / 200
    head = fit_linear_head(features, y_true, groups, 2, seed=0)
    moved = features.copy()
    moved[:, -1] += 1  # a thousand deviations
    np.testing.assert_allclose(head.predict(moved), head.predict(features), atol=0.05)


@pytest.mark.parametrize(
    ("y_true", "groups"),
    [
        ([0] * 10 + [1], np.arange(11)),  # a class of one image
        ([0, 1] * 6, np.zeros(12)),  # a single group
        ([0, 1], np.arange(2)),  # no class has two images
        ([0] * 8, np.arange(8)),  # a single class
    ],
)
def test_few_groups_and_missing_classes_need_no_cross_validation(y_true: list[int], groups: np.ndarray) -> None:
    labels = np.array(y_true)
    features = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
    head = fit_linear_head(features, labels, groups, 3, seed=0)
    probabilities = head.predict(features)
    assert (probabilities > 0).all()
    assert np.isfinite(log_losses(labels, probabilities)).all()
    assert probabilities[:, 2].max() < 1 / 3  # class 2 has no images
    if len(np.unique(groups)) == 1:
        assert (head.strength, len(head.losses), head.skill) == (DEFAULT_STRENGTH, 0, 0.5)
        assert head.evidence == "C = 0.0032, no cross-validation"


def test_class_weights_give_the_rare_class_equal_weight() -> None:
    rng = np.random.default_rng(0)
    y_true = (np.arange(200) % 10 == 0).astype(np.int64)
    features = rng.normal(size=(200, 3)).astype(np.float32)  # tell nothing
    rates = []
    for weights in (None, np.array([200 / 360, 200 / 40])):
        head = fit_linear_head(features, y_true, np.arange(200), 2, 0, weights)
        rates.append(head.predict(features)[:, 1].mean())
    assert rates == pytest.approx([0.1, 0.5], abs=0.06)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([28, 28, 28], [128]),
        ([128, 128], [128]),
        ([129, 129], [128, 160]),
        ([150, 170, 4000], [128, 160, 192]),
        ([1000], [128, 160, 192, 224]),
    ],
)
def test_candidates_end_above_the_median_side(sides: list[int], expected: list[int]) -> None:
    assert candidate_resolutions((128, 160, 192, 224), np.array(sides)) == expected


def load(side: int) -> LabelledPixels:
    """Return images of stripes whose width is a pixel of the finest resolution: at 32 pixels, all images are grey."""
    rng = np.random.default_rng(0)
    y_true = np.arange(80) // 2 % 2
    pixels = np.full((80, side, side, 3), 127, np.uint8)
    if side > 32:
        pixels[y_true == 1, :, ::2] = 200
    noise = rng.integers(0, 20, pixels.shape, np.uint8)
    return LabelledPixels(pixels + noise, np.arange(80), y_true, 2, np.arange(80) // 2)


def build(side: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(pixels)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="predictions")(x))


@pytest.mark.usefixtures("eager")
def test_the_lowest_resolution_that_is_no_worse_beyond_chance_is_chosen() -> None:
    table = compare_resolutions((32, 64, 96), build, load, seed=0)
    assert table["resolution"].tolist() == [32, 64, 96]
    assert table["chosen"].sum() == 1
    chosen = table[table["chosen"]].iloc[0]
    assert chosen["resolution"] > 32
    assert chosen["excess"] <= chosen["chance"]
    assert table["log_loss"][0] > 0.6
    assert table["log_loss"][1] < 0.1
