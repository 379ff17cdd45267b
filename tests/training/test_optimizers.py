from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import tiny_network, tiny_recipe

from goodbad_pipeline.networks.model import build_efficientnet
from goodbad_pipeline.training.optimizers import (
    averaged_weights,
    compile_model,
    make_optimizer,
    make_schedule,
    rates_by_depth,
)

pytestmark = pytest.mark.usefixtures("eager")
OPTIMIZERS = ["adamw", "sgd", "rmsprop"]


def rates(steps: int = 10, epochs: int = 10, **recipe: object) -> list[float]:
    schedule = make_schedule(tiny_recipe(**recipe), 0.1, steps=steps, epochs=epochs)
    return [float(schedule(step)) for step in range(steps * epochs + 1)]


def test_the_cosine_rises_then_falls_to_zero() -> None:
    values = rates(warmup=0.1)
    assert values[0] == 0
    assert values[10] == pytest.approx(0.1)
    assert all(later >= earlier for earlier, later in pairwise(values[:11]))
    assert all(later <= earlier for earlier, later in pairwise(values[10:]))
    assert values[100] == pytest.approx(0, abs=1e-6)


def test_exponential_decay_is_that_of_the_paper() -> None:
    values = rates(schedule="exponential", warmup=0.1, decay_rate=0.97, decay_epochs=2.4)
    assert values[5] == pytest.approx(0.05)
    assert values[10] == pytest.approx(0.1)
    assert values[34] == pytest.approx(0.1 * 0.97, rel=1e-5)
    assert values[58] == pytest.approx(0.1 * 0.97**2, rel=1e-5)


def test_rmsprop_has_the_settings_of_the_paper() -> None:
    optimizer = make_optimizer(tiny_recipe(optimizer="rmsprop"), 0.1, steps=1, epochs=1)
    assert isinstance(optimizer, keras.optimizers.RMSprop)
    assert (optimizer.rho, optimizer.momentum, optimizer.epsilon) == (0.9, 0.9, 1e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_spares_biases_and_batch_normalisation(name: str) -> None:
    model = tiny_network()
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    # warm-up begins at 0: the first step would change nothing
    optimizer = make_optimizer(tiny_recipe(optimizer=name, weight_decay=0.1), 0.1, steps=10, epochs=10)
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(10)
    optimizer.apply([np.zeros(variable.shape, np.float32) for variable in model.trainable_variables])
    shrunk = {variable.path for variable in model.trainable_variables if float(np.max(variable)) < 1}
    assert shrunk == {"stem_conv/kernel", "predictions/kernel"}


@pytest.mark.no_cover
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_learns(name: str) -> None:
    rng = np.random.default_rng(0)
    targets = np.eye(2, dtype=np.float32)[np.arange(16) % 2]
    pixels = (targets @ [[40.0], [200.0]])[:, :, None, None] * np.ones((1, 32, 32, 3)) + rng.normal(
        size=(16, 32, 32, 3)
    )
    model = tiny_network()
    compile_model(model, tiny_recipe(optimizer=name, weight_decay=0.0), 0.01, steps=1, epochs=1000)
    model.optimizer.build(model.trainable_variables)
    (model.optimizer.iterations).assign(100)
    losses = [model.train_on_batch(pixels, targets, return_dict=True)["loss"] for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]


def test_rates_fall_from_the_classifier_to_the_stem() -> None:
    model = build_efficientnet(phi=-4, resolution=32, classes=2, seed=0)
    factors = rates_by_depth([layer.name for layer in model.layers if layer.weights], 0.5)
    assert factors["predictions"] == 1
    assert factors["top_conv"] == factors["top_bn"] == 0.5
    blocks = list(dict.fromkeys(name.split("_")[0] for name in factors if name.startswith("block")))
    assert factors[f"{blocks[-1]}_project_conv"] == 0.25
    assert factors["stem_conv"] == 0.5 ** (len(blocks) + 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_smaller_rate_is_a_smaller_step(name: str) -> None:
    changes = []
    for decay in (1.0, 0.5):
        model = tiny_network()
        layers = [layer.name for layer in model.layers if layer.weights]
        recipe = tiny_recipe(optimizer=name, layer_decay=decay, weight_decay=0.0)
        optimizer = make_optimizer(recipe, 0.1, steps=10, epochs=10, layers=layers)
        optimizer.build(model.trainable_variables)
        optimizer.iterations.assign(10)
        before = {variable.path: np.array(variable) for variable in model.trainable_variables}
        optimizer.apply([np.ones(variable.shape, np.float32) for variable in model.trainable_variables])
        changes.append({v.path: float(np.abs(np.array(v) - before[v.path]).max()) for v in model.trainable_variables})
    even, falling = changes
    assert falling["predictions/kernel"] == pytest.approx(even["predictions/kernel"], rel=1e-4)
    assert falling["stem_conv/kernel"] == pytest.approx(0.5 * even["stem_conv/kernel"], rel=1e-4)


def test_averaged_weights_replace_weights_within_the_context() -> None:
    model = tiny_network()
    compile_model(model, tiny_recipe(ema=0.5, warmup=0.0), 0.1, steps=4, epochs=2)
    batch = np.zeros((4, 32, 32, 3), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]
    bias, expected = model.get_layer("predictions").bias, None
    for _ in range(4):
        model.train_on_batch(*batch)
        # half of what is remembered is gone after half an epoch, two steps
        momentum = 0.5**0.5
        expected = np.array(bias) if expected is None else momentum * expected + (1 - momentum) * np.array(bias)
    own = np.array(bias)
    with averaged_weights(model):
        np.testing.assert_allclose(np.array(bias), expected, rtol=1e-5)
        assert not np.allclose(expected, own)
    np.testing.assert_array_equal(np.array(bias), own)


def test_the_train_step_is_traced_once(monkeypatch) -> None:
    tf.config.run_functions_eagerly(False)
    model, traced = tiny_network(), []
    monkeypatch.setattr(model, "train_step", lambda data: traced.append(1) or type(model).train_step(model, data))
    compile_model(model, tiny_recipe(), 0.1, steps=2, epochs=1)
    for _ in range(2):
        model.train_on_batch(np.zeros((4, 32, 32, 3), np.uint8), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])
    assert len(traced) == 1


def test_the_learning_rate_of_a_step_is_computed_once(monkeypatch) -> None:
    schedule = keras.optimizers.schedules.CosineDecay
    compute, steps = schedule.__call__, []
    monkeypatch.setattr(schedule, "__call__", lambda self, step: steps.append(int(step)) or compute(self, step))
    model = tiny_network()
    optimizer = make_optimizer(tiny_recipe(weight_decay=0.1), 0.1, steps=10, epochs=10)
    optimizer.build(model.trainable_variables)
    for _ in range(2):
        optimizer.apply([np.zeros(variable.shape, np.float32) for variable in model.trainable_variables])
    assert steps == [0, 1]
    assert float(optimizer.learning_rate) == pytest.approx(0.02)
