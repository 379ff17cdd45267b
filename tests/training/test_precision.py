"""Networks in 16 bits and their copies in float32."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from tiny_training import tiny_network

from goodbad_pipeline.training.devices import in_float32
from goodbad_pipeline.training.distributed import DataParallel
from goodbad_pipeline.training.gradcam import Explainer


def standardising() -> keras.Model:
    """Return the first layers of EfficientNet-B0, with statistics that differ from initial ones."""
    pixels = keras.Input((8, 8, 3), name="image")
    standardise = keras.layers.Normalization(dtype="float32", name="normalization")
    x = keras.layers.Conv2D(4, 3, name="top_activation")(standardise(pixels))
    x = keras.layers.Dropout(0.5, seed=7)(keras.layers.GlobalAveragePooling2D()(x))
    outputs = keras.layers.Dense(2, activation="softmax", dtype="float32", name="predictions")(x)
    standardise.adapt(np.random.default_rng(0).normal(120, 60, (4, 8, 8, 3)))
    return keras.Model(pixels, outputs, name="half")


PIXELS = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_float32_copy_has_the_same_values(policy: str, set_policy: Callable[[str], None]) -> None:
    set_policy(policy)
    model = standardising()
    copy = in_float32(model)
    for one, other in zip(model.variables, copy.variables, strict=True):  # states of dropout are among them
        np.testing.assert_array_equal(one, other)
    predictions = np.asarray(copy(PIXELS, training=False))
    assert 0 < np.abs(np.asarray(model(PIXELS, training=False)) - predictions).max() < 0.05
    # Predictions do not depend on the policy that is set.
    set_policy("float32")
    plain = standardising()
    plain.set_weights(model.get_weights())
    plain.get_layer("normalization").finalize_state()
    np.testing.assert_allclose(predictions, np.asarray(plain(PIXELS, training=False)), rtol=1e-5)
    assert copy.name == "half"
    assert np.isfinite(Explainer(copy).explain(PIXELS, np.zeros(4, int))).all()


def test_a_float32_network_is_not_copied() -> None:
    model = tiny_network()
    assert in_float32(model) is model
    model.compile("sgd", "mse")
    uncompiled = in_float32(model)
    assert not uncompiled.compiled
    assert uncompiled.name == model.name
    assert uncompiled.layers == model.layers


def test_a_replica_standardises_as_the_network_does() -> None:
    model = standardising()
    replica = DataParallel(None).replicate(model)
    np.testing.assert_allclose(replica(PIXELS, training=False), model(PIXELS, training=False), rtol=1e-6)
