import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.exporting.converting import fold_normalisation


def network(seed: int, *, bias: bool, scale: bool, center: bool) -> keras.Model:
    """A convolution and a depthwise one, each normalised with statistics that are far from 0 and 1."""
    pixels = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=bias, name="conv")(pixels)
    x = keras.layers.BatchNormalization(scale=scale, center=center, name="bn")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias, name="dwconv")(x)
    x = keras.layers.BatchNormalization(epsilon=0.1, name="dwbn")(x)
    model = keras.Model(pixels, keras.layers.Dense(2, name="dense")(keras.layers.Flatten(name="flat")(x)))
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    return model


@given(st.integers(0, 99), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=6)
def test_the_folded_network_answers_the_same(seed: int, bias: bool, scale: bool, center: bool) -> None:
    model = network(seed, bias=bias, scale=scale, center=center)
    before = model.get_weights()
    folded = fold_normalisation(model)
    pixels = np.random.default_rng(seed).uniform(0, 1, (2, 6, 6, 3)).astype(np.float32)
    expected = np.asarray(model(pixels, training=False))
    np.testing.assert_allclose(np.asarray(folded(pixels, training=False)), expected, rtol=1e-5)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert "BatchNormalization" not in kinds
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_a_sequential_network_is_folded_too() -> None:
    layers = [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization()]
    model = keras.Sequential(layers)
    pixels = np.ones((1, 4, 4, 1), np.float32)
    folded = fold_normalisation(model)
    np.testing.assert_allclose(np.asarray(folded(pixels)), np.asarray(model(pixels)), atol=1e-6)


def after_activation(x):
    return keras.layers.ReLU()(keras.layers.Conv2D(2, 1)(x))


def after_active_convolution(x):
    return keras.layers.Conv2D(2, 1, activation="relu")(x)


@pytest.mark.parametrize("before", [after_activation, after_active_convolution])
def test_what_cannot_be_folded_is_refused(before) -> None:
    pixels = keras.Input((4, 4, 1))
    model = keras.Model(pixels, keras.layers.BatchNormalization(name="odd_bn")(before(pixels)))
    with pytest.raises(InputError, match="odd_bn cannot be folded"):
        fold_normalisation(model)


def test_a_convolution_that_another_layer_reads_is_not_folded() -> None:
    pixels = keras.Input((4, 4, 1))
    shared = keras.layers.Conv2D(2, 1)(pixels)
    both = keras.layers.Add()([shared, keras.layers.BatchNormalization(name="odd_bn")(shared)])
    with pytest.raises(InputError, match="odd_bn"):
        fold_normalisation(keras.Model(pixels, both))


def test_pixels_are_standardised_by_the_folded_network_too() -> None:
    pixels = keras.Input((4, 4, 3))
    standardise = keras.layers.Normalization(name="normalization")
    model = keras.Model(pixels, keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(standardise(pixels))))
    rng = np.random.default_rng(0)
    standardise.adapt(rng.normal(5, 3, (8, 4, 4, 3)))
    seen = rng.normal(5, 3, (2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(fold_normalisation(model)(seen)), np.asarray(model(seen)), atol=1e-5)
