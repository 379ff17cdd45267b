"""Training on small pictures with a network of two layers, which has the names that training goes by."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from making import picture

from goodbad_pipeline.training.augmentation import Augmentation
from goodbad_pipeline.training.batches import predict
from goodbad_pipeline.training.progress import HISTORY_COLUMNS
from goodbad_pipeline.training.recipe import Recipe, cosine_schedule
from goodbad_pipeline.training.train import LabelledPixels, fit_model

SIDE = 32


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([np.asarray(picture(n, bright=bool(n % 2), side=SIDE)) for n in range(48)])


def part(pixels: np.ndarray, start: int, stop: int) -> LabelledPixels:
    rows = np.arange(start, stop)
    return LabelledPixels(pixels, rows, rows % 2, 2)


def recipe(**changes: object) -> Recipe:
    values = {
        "seed": 0,
        "batch_size": 16,
        "head_epochs": 2,
        "epochs": 2,
        "scratch_epochs": 6,
        "head_learning_rate": 1e-2,
        "learning_rate": 1e-4,
        "scratch_learning_rate": 5e-3,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "label_smoothing": 0.0,
        "patience": 10,
        "augmentation": Augmentation(flip=True),
    }
    return Recipe(**{**values, **changes})


def network() -> keras.Model:
    pixels = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = keras.layers.Conv2D(8, 5, strides=4, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.5, name="stem_bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(keras.layers.ReLU()(x))
    x = keras.layers.Dropout(0.1, name="top_dropout", seed=0)(x)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="predictions")(x))


def test_from_scratch_learns_and_tells_every_epoch(pixels: np.ndarray) -> None:
    heard: list[int] = []
    model = network()
    history = fit_model(
        model,
        part(pixels, 0, 40),
        part(pixels, 40, 48),
        recipe(),
        pretrained=False,
        listener=lambda epoch, metrics: heard.append(epoch),
    )
    assert list(history.columns) == HISTORY_COLUMNS
    assert heard == history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(history["phase"]) == {"scratch"}
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_the_weights_kept_are_those_of_the_best_validation_loss(pixels: np.ndarray) -> None:
    model = network()
    validation = part(pixels, 40, 48)
    history = fit_model(model, part(pixels, 0, 40), validation, recipe(), pretrained=False)
    probabilities = predict(model, validation.pixels, validation.rows)
    loss = -np.log(probabilities[np.arange(8), validation.truth]).mean()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-4)


def test_head_first_then_all_layers_with_frozen_batch_statistics(pixels: np.ndarray) -> None:
    model = network()
    statistics = model.get_layer("stem_bn").moving_mean.numpy().copy()
    kernel = model.get_layer("stem_conv").kernel.numpy().copy()
    history = fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), recipe(), pretrained=True)
    assert history["phase"].tolist() == ["head", "head", "all layers", "all layers"]
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(model.get_layer("stem_bn").moving_mean.numpy(), statistics)
    assert not np.array_equal(model.get_layer("stem_conv").kernel.numpy(), kernel)


def test_the_head_alone_leaves_the_backbone_as_it_was(pixels: np.ndarray) -> None:
    model = network()
    before = {weight.path: weight.numpy() for weight in model.weights}
    fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), recipe(epochs=0), pretrained=True)
    changed = {weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}


def test_the_head_does_in_the_model_what_it_did_on_features(pixels: np.ndarray) -> None:
    model = network()
    validation = part(pixels, 40, 48)
    history = fit_model(model, part(pixels, 0, 40), validation, recipe(epochs=0), pretrained=True)
    probabilities = predict(model, validation.pixels, validation.rows)
    loss = -np.log(probabilities[np.arange(8), validation.truth]).mean()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-3)


def test_the_same_seed_gives_the_same_weights(pixels: np.ndarray) -> None:
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = network()
        fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), recipe(scratch_epochs=2), pretrained=False)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_early_stopping_ends_a_phase(pixels: np.ndarray) -> None:
    hopeless = recipe(scratch_epochs=6, patience=1, scratch_learning_rate=1e-9)
    history = fit_model(network(), part(pixels, 0, 40), part(pixels, 40, 48), hopeless, pretrained=False)
    best = history["val_loss"].idxmin()
    assert len(history) == min(6, best + 2)


def test_the_rate_rises_then_falls() -> None:
    schedule = cosine_schedule(0.1, 100, 0.1)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(0.1)
    assert all(later >= earlier for earlier, later in pairwise(rates[:11]))
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0, abs=1e-6)
