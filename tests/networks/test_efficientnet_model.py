import keras
import numpy as np
import pytest
from keras.src.applications.efficientnet import EfficientNet

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import build_efficientnet
from goodbad_pipeline.networks.scaling import Coefficients

TINY = {"phi": -6, "resolution": 32, "classes": 3}


def _twins(number, resolution=None, **options):
    """Return our B<number> and that of Keras, with the same weights and logits for ten classes."""
    keras.utils.set_random_seed(number)
    ours = build_efficientnet(
        variant=f"b{number}", resolution=resolution, classes=10, classifier_activation=None, **options
    )
    theirs = getattr(keras.applications, f"EfficientNetB{number}")(
        weights=None, input_shape=ours.input_shape[1:], classes=10, classifier_activation=None
    )
    _share(theirs, ours)
    return ours, theirs


def _share(theirs, ours):
    """Give both models the same weights, with batch statistics that differ from those of a new model."""
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.05, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.9, 1.1, layer.moving_variance.shape))
    for ours_layer, theirs_layer in zip(_weighted(ours), _weighted(theirs), strict=True):
        ours_layer.set_weights(theirs_layer.get_weights())
    ours.get_layer("normalization").finalize_state()


def _weighted(model):
    return [layer for layer in model.layers if layer.weights]


def _logits(model, image, **options):
    return keras.ops.convert_to_numpy(model(image, **options))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "number",
    [
        0,
        *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 4)),
        *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 8)),
    ],
)
def test_outputs_equal_those_of_keras_applications(number, formula_image):
    keras.backend.clear_session()
    ours, theirs = _twins(number)
    image = formula_image(ours.input_shape[1])
    expected = _logits(theirs, image)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(_logits(ours, image), expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def odd_twins():
    """Return both B0 at 67 pixels: feature maps of 34, 17, 9, 5 and 3 pixels, odd and even."""
    return _twins(0, 67)


@pytest.mark.no_cover
def test_outputs_equal_those_of_keras_applications_at_an_odd_size(odd_twins, formula_image):
    ours, theirs = odd_twins
    image = formula_image(67)
    np.testing.assert_allclose(_logits(ours, image), _logits(theirs, image), rtol=0, atol=1e-5)


@pytest.mark.no_cover
def test_training_equals_that_of_keras_applications():
    keras.utils.set_random_seed(0)
    ours = build_efficientnet(phi=0, resolution=64, classes=10, dropout=0, stochastic_depth=0)
    theirs = EfficientNet(
        1.0, 1.0, 224, dropout_rate=0, drop_connect_rate=0, weights=None, input_shape=(64, 64, 3), classes=10
    )
    _share(theirs, ours)
    images = np.random.default_rng(1).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    expected = _logits(theirs, images, training=True)
    np.testing.assert_allclose(_logits(ours, images, training=True), expected, rtol=0, atol=1e-5)
    for ours_layer, theirs_layer in zip(_weighted(ours), _weighted(theirs), strict=True):
        for our_value, their_value in zip(ours_layer.get_weights(), theirs_layer.get_weights(), strict=True):
            np.testing.assert_allclose(our_value, their_value, rtol=1e-5, atol=1e-5)


def test_layers_have_the_names_of_keras_applications(odd_twins):
    ours, theirs = ({layer.name for layer in model.layers} for model in odd_twins)
    automatic = ("input_layer", "rescaling", "normalization")
    wanted = {name for name in theirs if not name.startswith(automatic) and not name.endswith("_pad")}
    assert ours - {"image", "rescaling", "normalization"} == wanted


def test_the_graph_is_flat_and_can_be_cut(tiny_model):
    assert not any(isinstance(layer, keras.Model) for layer in tiny_model.layers)
    parts = [tiny_model.get_layer(name).output for name in ("top_activation", "avg_pool")]
    feature_map, features = keras.Model(tiny_model.input, parts)(np.zeros((2, 32, 32, 3)))
    assert feature_map.shape == (2, 1, 1, features.shape[1])


def test_without_classifier_the_model_ends_in_pooled_features():
    model = build_efficientnet(**TINY, include_top=False)
    assert model.layers[-1].name == "avg_pool"
    assert len(model.output_shape) == 2


def test_uint8_and_float_pixels_give_the_same(tiny_model):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    expected = _logits(tiny_model, images.astype("float32"))
    np.testing.assert_array_equal(_logits(tiny_model, images), expected)
    np.testing.assert_allclose(tiny_model.predict(images, verbose=0), expected, rtol=0, atol=1e-6)


def test_pixels_are_scaled_inside_the_model():
    model = build_efficientnet(**TINY)
    scaled = keras.Model(model.input, model.get_layer("normalization").output)
    white = np.full((1, 32, 32, 3), 255.0)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(np.asarray(scaled(white))[0, 0, 0], expected, rtol=1e-5)


def test_lite_pixels_are_scaled_inside_the_model():
    model = build_efficientnet(**TINY, family="efficientnet_lite")
    scaled = keras.Model(model.input, model.get_layer("rescaling").output)
    np.testing.assert_allclose(np.asarray(scaled(np.full((1, 32, 32, 3), 255.0))), 1.0)
    np.testing.assert_allclose(np.asarray(scaled(np.full((1, 32, 32, 3), 127.0))), 0.0, atol=1e-7)


@pytest.mark.parametrize("family", [pytest.param("efficientnet", marks=pytest.mark.long), "efficientnet_lite"])
def test_a_saved_model_loads_without_this_project(family, tmp_path):
    model = build_efficientnet(**TINY, family=family, seed=1)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.name == model.name
    np.testing.assert_array_equal(_logits(again, images), _logits(model, images))
    registered = keras.saving.get_custom_objects().values()  # by other rooms, whose tests ran in this process
    assert not [thing for thing in registered if "efficientnet" in thing.__module__]
    assert "goodbad" not in model.to_json()


def test_a_seed_repeats_the_network_and_its_training():
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    one, same, other = (build_efficientnet(**TINY, stochastic_depth=0.5, seed=seed) for seed in (1, 1, 2))
    for _ in range(2):
        np.testing.assert_array_equal(_logits(one, images, training=True), _logits(same, images, training=True))
    assert np.abs(_logits(one, images) - _logits(other, images)).max() > 0


def test_layers_of_equal_shape_start_differently():
    model = build_efficientnet(phi=0, resolution=32, classes=2, include_top=False, seed=1)
    first, second = (model.get_layer(f"block6{letter}_expand_conv").kernel for letter in "bc")
    assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0


def test_stochastic_depth_drops_whole_images():
    model = build_efficientnet(phi=0, resolution=32, classes=2, stochastic_depth=0.8)
    layer = model.get_layer("block6d_drop")
    assert layer.rate == pytest.approx(0.8 * 14 / 16)
    dropped = np.asarray(layer(np.ones((64, 2, 2, 4)), training=True)).reshape(64, -1)
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped > 0)) == {True, False}


def test_dropout_rates_of_zero_add_no_layer():
    names = [layer.name for layer in build_efficientnet(**TINY, dropout=0, stochastic_depth=0).layers]
    assert not [name for name in names if "drop" in name]


def test_momentum_reaches_every_normalisation():
    model = build_efficientnet(**TINY, batch_norm_momentum=0.9)
    assert {la.momentum for la in model.layers if isinstance(la, keras.layers.BatchNormalization)} == {0.9}


def test_mixed_precision_keeps_pixels_and_probabilities_exact():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_efficientnet(**TINY)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    dtypes = {name: model.get_layer(name).compute_dtype for name in ("rescaling", "stem_conv", "predictions")}
    assert dtypes == {"rescaling": "float32", "stem_conv": "bfloat16", "predictions": "float32"}


@pytest.mark.parametrize("classes", [1, 0, -3, 2.0, True, "2"])
def test_invalid_classes_are_an_error(classes):
    with pytest.raises(InputError, match="classes must be a whole number, at least 2; received"):
        build_efficientnet(phi=0, classes=classes)


@pytest.mark.parametrize("momentum", [0, 1, -0.1])
def test_invalid_momentum_is_an_error(momentum):
    with pytest.raises(InputError, match="batch_norm_momentum must be above 0 and below 1"):
        build_efficientnet(phi=0, batch_norm_momentum=momentum)


def test_a_product_far_from_two_is_warned_about(caplog):
    build_efficientnet(**TINY, coefficients=Coefficients(gamma=1.1))
    assert "α·β²·γ² = 1.757" in caplog.text


def test_both_or_neither_of_phi_and_variant_is_an_error():
    for arguments in ({}, {"phi": 0, "variant": "b0"}):
        with pytest.raises(InputError, match="Exactly one of phi and variant"):
            build_efficientnet(**arguments)
