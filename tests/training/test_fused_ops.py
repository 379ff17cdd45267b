"""Training through the faster kernels equals training by plain Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from goodbad_pipeline.serving.archive import load_archive
from goodbad_pipeline.training.fused_ops import fused_training

SHAPE = (4, 6, 5, 8)


def _network(**options) -> keras.Model:
    """A convolution, batch normalisation and swish, with weights that differ from initial ones."""
    keras.utils.set_random_seed(0)
    maps = keras.Input(SHAPE[1:])
    x = keras.layers.Conv2D(7, 3, padding="same", use_bias=False, name="conv")(maps)
    x = keras.layers.BatchNormalization(momentum=0.8, name="bn", **options)(x)
    x = keras.layers.Activation("swish", name="activation")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(maps, keras.layers.Dense(2, activation="softmax")(x))
    rng = np.random.default_rng(1)
    model.get_layer("bn").set_weights([rng.uniform(0.5, 1.5, 7) for _ in model.get_layer("bn").weights])
    model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", jit_compile=False)
    return model


def _batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(2, 3, SHAPE).astype("float32"), np.eye(2, dtype="float32")[rng.integers(0, 2, SHAPE[0])]


def _trained(model: keras.Model, *, fast: bool) -> tuple[list[float], list[np.ndarray]]:
    if not fast:
        return [float(model.train_on_batch(*_batch(step))) for step in range(3)], model.get_weights()
    with fused_training(model):
        return [float(model.train_on_batch(*_batch(step))) for step in range(3)], model.get_weights()


def _operations(model: keras.Model) -> set[str]:
    """Return the kinds of operations in the graph of one step, gradients included."""

    @tf.function
    def step(pixels, targets):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(pixels, targets, model(pixels, training=True))
        return tape.gradient(loss, model.trainable_variables)

    return {operation.type for operation in step.get_concrete_function(*_batch(0)).graph.get_operations()}


def test_outputs_gradients_and_moving_statistics_equal_keras():
    losses, weights = _trained(_network(), fast=True)
    plain_losses, plain_weights = _trained(_network(), fast=False)
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)
    # plain SGD: weights after a step are weights before it less the gradient
    for ours, plain in zip(weights, plain_weights, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-6)


def test_the_step_runs_through_the_fused_kernels():
    model = _network()
    with fused_training(model):
        kinds = _operations(model)
    assert {"FusedBatchNormV3", "FusedBatchNormGradV3"} <= kinds
    assert "SquaredDifference" not in kinds


@pytest.mark.parametrize("batch", [1, 2])
def test_the_moving_variance_divides_by_n(batch):
    """With one or two values per channel, dividing by n - 1 would differ most."""
    layer = keras.layers.BatchNormalization(momentum=0.0)
    maps = keras.Input((1, 1, 3))
    model = keras.Model(maps, layer(maps))
    model.compile(jit_compile=False)
    values = np.random.default_rng(0).normal(size=(batch, 1, 1, 3)).astype("float32")
    with fused_training(model):
        model(values, training=True)
    np.testing.assert_allclose(layer.moving_variance, values.var(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, values.mean(axis=(0, 1, 2)), atol=1e-6)


def test_inference_is_plain_keras():
    model, (pixels, _) = _network(), _batch(0)
    expected = np.asarray(model(pixels, training=False))
    with fused_training(model):
        np.testing.assert_array_equal(model(pixels, training=False), expected)


def test_frozen_statistics_do_not_change():
    model = _network()
    model.get_layer("bn").trainable = False
    before = model.get_layer("bn").get_weights()
    _, weights = _trained(model, fast=True)
    for ours, kept in zip(model.get_layer("bn").get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)
    plain = _network()
    plain.get_layer("bn").trainable = False
    for ours, theirs in zip(weights, _trained(plain, fast=False)[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_afterwards_the_network_is_saved_and_loaded_as_plain_keras(tmp_path):
    model = _network()
    _trained(model, fast=True)
    model.save(tmp_path / "model.keras")
    loaded = load_archive(tmp_path / "model.keras")
    assert type(loaded.get_layer("bn")) is keras.layers.BatchNormalization
    assert "call" not in vars(model.get_layer("bn"))
    pixels, _ = _batch(5)
    np.testing.assert_allclose(loaded(pixels, training=False), model(pixels, training=False), atol=1e-6)


@pytest.mark.parametrize("options", [{"dtype": "mixed_bfloat16"}, {"renorm": True}, {"center": False}, {"axis": 1}])
def test_unusual_layers_keep_their_calls(options):
    maps = keras.Input(SHAPE[1:])
    layer = keras.layers.BatchNormalization(**options)
    model = keras.Model(maps, layer(maps))
    model.compile(jit_compile=False)
    with fused_training(model):
        assert "call" not in vars(layer)


def test_other_backends_and_xla_keep_their_calls(monkeypatch):
    model = _network()
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "jax")
        with fused_training(model):
            assert "call" not in vars(model.get_layer("bn"))
    model.compile(jit_compile=True)
    with fused_training(model):
        assert "call" not in vars(model.get_layer("bn"))
