import re

import numpy as np
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import LayerShape, layer_shape
from goodbad_pipeline.networks.scaling import NetworkScale, resolve_scale

SIDE, CLASSES = 48, 3
FAMILIES = ["efficientnet", "efficientnet_lite"]


def _scale(phi, family="efficientnet", side=SIDE):
    return resolve_scale(phi=phi, family=family, resolution=side)


def _shaped(width, depth, family="efficientnet"):
    return NetworkScale(family, width, depth, SIDE, dropout=0.2, phi=0)


def _images(count=6, side=SIDE):
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 3)).astype("float32")


def _trained(scale, classes=CLASSES, **options):
    """Return a network with batch statistics of images, and scales and shifts that differ from those of a new model."""
    import keras

    from goodbad_pipeline.networks import build_network

    model = build_network(scale, classes=classes, classifier_activation=None, seed=3, **options)
    rng = np.random.default_rng(3)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
        layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
        layer.momentum = 0.0
    model(_images(side=scale.resolution), training=True)
    for layer in layers:
        layer.momentum = 0.99
    return model


def _grow(small, target, **options):
    from goodbad_pipeline.networks.net2net import grow_network

    large = grow_network(small, target, seed=4, **({"classes": CLASSES} | options))
    large.get_layer("predictions").activation = None  # logits show smaller differences than probabilities
    return large


def _answers(model, images=None):
    return np.asarray(model(_images(side=model.input_shape[1]) if images is None else images, training=False))


def _assert_same_function(small, large):
    assert large.count_params() > small.count_params()
    before, after = _answers(small), _answers(large)
    assert np.ptp(before) > 0.1  # images are told apart
    assert np.abs(before - after).max() <= 1e-4


@pytest.mark.no_cover
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("phi", [pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.slow)])
def test_growth_from_phi_0_computes_the_same(family, phi):
    small = _trained(_scale(0, family))
    large = _grow(small, _scale(phi, family))
    assert layer_shape(_scale(phi, family)).repeats > layer_shape(_scale(0, family)).repeats
    _assert_same_function(small, large)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("phi", "side"), [(1, 224), (2, 224), (4, 128)])
def test_growth_at_the_usual_resolution_computes_the_same(family, phi, side):
    small = _trained(_scale(0, family, side))
    _assert_same_function(small, _grow(small, _scale(phi, family, side)))


@pytest.mark.no_cover
@pytest.mark.parametrize("family", ["efficientnet_lite", pytest.param("efficientnet", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("width", "depth"), [(0.8, 0.5), pytest.param(0.5, 0.9, marks=pytest.mark.long)], ids=["wider", "deeper"]
)
def test_growth_in_one_dimension_computes_the_same(family, width, depth):
    small = _trained(_shaped(0.5, 0.5, family))
    large = _grow(small, _shaped(width, depth, family))
    _assert_same_function(small, large)


def test_the_small_network_does_not_change():
    small = _trained(_scale(-5))
    before = [weight.copy() for weight in small.get_weights()]
    _grow(small, _scale(-4))
    assert all(np.array_equal(old, new) for old, new in zip(before, small.get_weights(), strict=True))


@pytest.mark.long
@pytest.mark.no_cover
def test_growth_to_the_same_size_changes_nothing():
    small = _trained(_scale(-6))
    same = _grow(small, _scale(-6))
    assert np.abs(_answers(small) - _answers(same)).max() <= 1e-6
    _assert_same_function(small, _grow(_grow(small, _scale(-5)), _scale(-4)))


@pytest.mark.long
@pytest.mark.no_cover
def test_weights_do_not_depend_on_the_resolution():
    small = _trained(_scale(-5))
    large = _grow(small, _scale(-4, side=64))
    assert large.input_shape[1] == 64
    again = _grow(small, _scale(-4))
    again.set_weights(large.get_weights())
    assert np.abs(_answers(small) - _answers(again)).max() <= 1e-4


@pytest.mark.no_cover
def test_the_same_seed_grows_the_same_network():
    small = _trained(_scale(-6))
    one, other = (_grow(small, _scale(-5)).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _gradients(model, labels):
    """Return the gradient of every trained weight, with batch statistics frozen as in fine-tuning."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(_images(), training=False))
        loss = tf.reduce_mean(losses)
    return [np.asarray(gradient) for gradient in tape.gradient(loss, model.trainable_variables)]


@pytest.mark.no_cover
@pytest.mark.parametrize("family", [pytest.param("efficientnet", marks=pytest.mark.long), "efficientnet_lite"])
def test_zero_weights_learn_at_the_first_step_and_all_new_ones_at_the_second(family):
    small = _trained(_shaped(0.5, 0.5, family))
    large = _grow(small, _shaped(0.8, 0.9, family))
    labels = np.arange(6) % CLASSES
    first = dict(zip([v.path for v in large.trainable_variables], _gradients(large, labels), strict=True))
    old = {variable.path: variable.shape for variable in small.trainable_variables}
    seams = [
        (first[v.path], np.asarray(v) == 0)
        for v in large.trainable_variables
        if re.search("conv/kernel|reduce/kernel|predictions/kernel|se_expand/kernel", v.path)
    ]
    assert sum(mask.sum() for _, mask in seams) > 1000
    share = 1.0 if family == "efficientnet" else 0.9  # ReLU6 is flat where it is saturated
    assert np.mean(np.concatenate([g[mask] != 0 for g, mask in seams])) >= share - 0.001
    for variable in large.trainable_variables:
        variable.assign_sub(0.001 * first[variable.path])
    moved = []
    for variable, gradient in zip(large.trainable_variables, _gradients(large, labels), strict=True):
        new = np.ones(gradient.shape, bool)
        if variable.path in old:
            new[tuple(slice(size) for size in old[variable.path])] = False
        assert (gradient[new] != 0).any() or not new.any(), variable.path
        alive = gradient != 0
        if "dwconv" in variable.path:  # outer taps of a kernel see nothing on a map smaller than it
            alive |= alive.any(axis=(0, 1), keepdims=True)
        moved.append(alive[new])
    assert np.mean(np.concatenate(moved)) >= share - 0.001


def test_new_channels_have_measured_statistics():
    small = _trained(_shaped(0.5, 0.5))
    large = _grow(small, _shaped(0.8, 0.9))
    for name in ("stem_bn", "block4a_project_bn", "top_bn"):
        old, new = small.get_layer(name), large.get_layer(name)
        kept = old.moving_variance.shape[0]
        assert np.array_equal(np.asarray(new.moving_variance)[:kept], np.asarray(old.moving_variance))
        assert (np.asarray(new.moving_variance)[kept:] != 1).all()
    features = _answers(large, _images())
    assert np.isfinite(features).all()


def test_a_classifier_for_another_number_of_classes_starts_at_zero():
    small = _trained(_scale(-6))
    large = _grow(small, _scale(-5), classes=5)
    assert large.output_shape == (None, 5)
    fresh = _grow(small, _scale(-5), keep_classifier=False)
    old, kept = small.get_layer("predictions").kernel, _grow(small, _scale(-5)).get_layer("predictions").kernel
    rows = old.shape[0]
    assert np.array_equal(np.asarray(kept)[:rows], np.asarray(old))
    assert not np.asarray(kept)[rows:].any()
    assert np.asarray(old).any()
    assert not np.asarray(fresh.get_layer("predictions").kernel).any()


def test_a_network_without_classifier_gets_one():
    small = _trained(_scale(-6), include_top=False)
    assert _grow(small, _scale(-5)).output_shape == (None, CLASSES)


@pytest.mark.no_cover
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("phi", [-7, -3.3, 0, 1])
def test_the_shape_is_read_from_the_layers(family, phi):
    from goodbad_pipeline.networks import build_network
    from goodbad_pipeline.networks.net2net import read_shape

    assert read_shape(build_network(_scale(phi, family), classes=2)) == layer_shape(_scale(phi, family))


def test_a_model_of_another_origin_is_an_error():
    import keras

    with pytest.raises(InputError, match="is no EfficientNet of this project"):
        _grow(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)]), _scale(0))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (_shaped(0.5, 0.9), "stem has 24 channels, the target has only 16"),
        (_shaped(1.0, 0.4), "stage 3 has 2 layers, the target has only 1"),
        (_shaped(1.2, 1.2, "efficientnet_lite"), "efficientnet cannot become efficientnet_lite"),
    ],
    ids=["narrower", "shallower", "another family"],
)
def test_growth_to_a_smaller_network_is_an_error_before_building(target, message, monkeypatch):
    from goodbad_pipeline.networks import net2net

    small = _trained(_shaped(0.75, 0.9))
    monkeypatch.setattr(net2net, "build_network", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(InputError, match=message) as caught:
        net2net.grow_network(small, target, classes=CLASSES)
    assert "\n" not in str(caught.value)


def test_growth_that_adds_a_shortcut_is_an_error():
    from goodbad_pipeline.networks.net2net_source import check_growth

    # The stem of the lite family stays at 32 channels, and its first stage reaches them near φ = 7.
    small, large = layer_shape(_scale(0, "efficientnet_lite")), layer_shape(_scale(7, "efficientnet_lite"))
    assert large.channels[0] == large.channels[1]
    with pytest.raises(InputError, match="would gain a shortcut"):
        check_growth(small, large)


def test_weights_fit_networks_of_equal_layer_shape():
    assert layer_shape(resolve_scale(phi=0)) == layer_shape(resolve_scale(variant="b0", resolution=64))
    assert layer_shape(resolve_scale(phi=0)) == LayerShape(
        "efficientnet", (32, 16, 24, 40, 80, 112, 192, 320, 1280), (1, 2, 2, 3, 3, 4, 1)
    )


@pytest.mark.long
def test_lite0_from_imagenet_grows_to_phi_1(formula_image):
    from goodbad_pipeline.networks import build_network
    from goodbad_pipeline.networks.net2net_source import base_scale, parse_growth_source

    assert parse_growth_source("imagenet").imagenet
    small = build_network(base_scale("efficientnet_lite", 96), weights="imagenet", classifier_activation=None)
    large = _grow(small, _scale(1, "efficientnet_lite", 96), classes=1000)
    image = formula_image(96)
    assert np.abs(_answers(small, image) - _answers(large, image)).max() <= 1e-4
