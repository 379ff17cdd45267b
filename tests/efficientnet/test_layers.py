import keras
import numpy as np
import pytest
from keras.src.applications.imagenet_utils import correct_pad

from goodbad_pipeline.efficientnet.layers import LayerMaker


@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_is_the_zero_padding_of_keras_applications(kernel):
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
