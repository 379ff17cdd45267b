import keras
import numpy as np
import pytest
from keras.src.applications.imagenet_utils import correct_pad

from goodbad_pipeline.networks.layers import LayerMaker
from goodbad_pipeline.networks.model import build_efficientnet


@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_equals_the_zero_padding_of_keras_applications(kernel):
    options = {"strides": 2, "use_bias": False, "depthwise_initializer": "ones"}
    for side in range(2, 40):
        x = np.random.default_rng(side).normal(size=(1, side, side, 1)).astype("float32")
        padded = keras.layers.ZeroPadding2D(correct_pad(keras.KerasTensor(x.shape), kernel))(x)
        theirs = keras.layers.DepthwiseConv2D(kernel, padding="valid", **options)(padded)
        ours = keras.layers.DepthwiseConv2D(kernel, padding="same", **options)(x)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=1e-5)


def test_a_layer_seed_depends_on_seed_and_name():
    one, two = LayerMaker("swish", 0.99, seed=1), LayerMaker("swish", 0.99, seed=2)
    seeds = [one.layer_seed("a"), one.layer_seed("b"), two.layer_seed("a")]
    assert len(set(seeds)) == 3
    assert one.layer_seed("a") == LayerMaker("relu6", 0.9, seed=1).layer_seed("a")
    assert LayerMaker("swish", 0.99, seed=None).layer_seed("a") is None


@pytest.mark.parametrize("family", ["efficientnet", "efficientnet_lite"])
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_first_loss_is_that_of_guessing_for_any_number_of_classes(family, classes):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    model = build_efficientnet(
        phi=-2, family=family, classes=classes, resolution=64, classifier_activation=None, seed=0
    )
    logits = np.asarray(model(pixels, training=True))
    assert 0.05 < logits.std() < 1  # by ±√(1 / classes) it was 2 to 8 for two classes


def test_the_classifier_of_1000_classes_starts_as_in_the_reference_code():
    kernel = np.asarray(build_efficientnet(phi=-2, resolution=64, seed=0).get_layer("predictions").kernel)
    assert 0.0316 < np.abs(kernel).max() <= 1000**-0.5
