"""Networks in 16 bits and their twins in float32."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from tiny_training import tiny_network

from goodbad_pipeline.training.devices import in_float32
from goodbad_pipeline.training.distributed import DataParallel
from goodbad_pipeline.training.gradcam import Explainer


def standardising() -> keras.Model:
    """Begins as EfficientNet-B0 does, with statistics that are not those of a fresh layer."""
    pixels = keras.Input((8, 8, 3), name="image")
    standardise = keras.layers.Normalization(dtype="float32", name="normalization")
    x = keras.layers.Conv2D(4, 3, name="top_activation")(standardise(pixels))
    x = keras.layers.Dropout(0.5, seed=7)(keras.layers.GlobalAveragePooling2D()(x))
    outputs = keras.layers.Dense(2, activation="softmax", dtype="float32", name="predictions")(x)
    standardise.adapt(np.random.default_rng(0).normal(120, 60, (4, 8, 8, 3)))
    return keras.Model(pixels, outputs, name="half")


PIXELS = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_twin_holds_the_same_values_and_computes_in_float32(policy: str, set_policy: Callable[[str], None]) -> None:
    set_policy(policy)
    model = standardising()
    twin = in_float32(model)
    for one, other in zip(model.variables, twin.variables, strict=True):  # states of dropout are among them
        np.testing.assert_array_equal(one, other)
    answers = np.asarray(twin(PIXELS, training=False))
    assert 0 < np.abs(np.asarray(model(PIXELS, training=False)) - answers).max() < 0.05
    # Under whatever policy it is asked, the answers are those of a network that never knew another.
    set_policy("float32")
    plain = standardising()
    plain.set_weights(model.get_weights())
    plain.get_layer("normalization").finalize_state()
    np.testing.assert_allclose(answers, np.asarray(plain(PIXELS, training=False)), rtol=1e-5)
    assert twin.name == "half"
    assert np.isfinite(Explainer(twin).explain(PIXELS, np.zeros(4, int))).all()


def test_what_is_in_float32_stays_what_it_is() -> None:
    model = tiny_network()
    assert in_float32(model) is model


def test_what_several_devices_train_standardises_as_the_network_does() -> None:
    model = standardising()
    replica = DataParallel(None).replicate(model)
    np.testing.assert_allclose(replica(PIXELS, training=False), model(PIXELS, training=False), rtol=1e-6)
