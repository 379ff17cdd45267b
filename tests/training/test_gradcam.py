import keras
import numpy as np
import tensorflow as tf

from goodbad_pipeline.training.gradcam import explain


def small_model(classes=3):
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(5, 3, strides=2, activation="relu", name="top_activation")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax", name="predictions")(x))


def test_heatmaps_equal_grad_cam_by_gradients():
    model = small_model()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 12, 12, 3), dtype=np.uint8)
    classes = np.array([0, 1, 2, 0, 1])
    rows = np.array([6, 0, 2, 3, 1])
    maps = explain(model, pixels, rows, classes, batch_size=2)
    # Selvaraju et al., equations 1 and 2: weights are the mean gradients of the logit.
    features = keras.Model(model.inputs, model.get_layer("top_activation").output)([pixels[rows].astype("float32")])
    with tf.GradientTape() as tape:
        tape.watch(features)
        classifier = model.get_layer("predictions")
        logits = tf.reduce_mean(features, axis=(1, 2)) @ classifier.kernel + classifier.bias
        chosen = tf.reduce_sum(tf.gather(logits, classes, batch_dims=1))
    weights = tf.reduce_mean(tape.gradient(chosen, features), axis=(1, 2), keepdims=True)
    expected = np.maximum(tf.reduce_sum(weights * features, axis=3).numpy(), 0)
    largest = expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, expected / np.where(largest > 0, largest, 1), atol=1e-5)
    assert maps.shape == (5, 5, 5)


def test_an_unsupported_class_has_an_empty_heatmap():
    model = small_model()
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([-np.abs(kernel), bias])
    pixels = np.full((1, 12, 12, 3), 200, dtype=np.uint8)
    assert (explain(model, pixels, np.array([0]), np.array([1]), batch_size=1) == 0).all()
