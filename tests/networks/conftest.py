"""Images and models shared by the tests of networks."""

import numpy as np
import pytest


def _formula_image(side: int) -> np.ndarray:
    row, column, channel = np.ogrid[:side, :side, :3]
    image = 127.5 + 100 * np.sin(0.05 * row + channel) * np.cos(0.07 * column - channel)
    return image[None].astype("float32")


@pytest.fixture(scope="session")
def formula_image():
    """Return a function from a side in pixels to the image whose published outputs are known."""
    return _formula_image


@pytest.fixture(scope="session")
def tiny_model():
    """Return a small standard network whose batch statistics differ from those of a new model."""
    import keras

    from goodbad_pipeline.networks import build_efficientnet

    model = build_efficientnet(phi=-6, resolution=32, classes=3, seed=7)
    rng = np.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.moving_variance.shape))
    return model
