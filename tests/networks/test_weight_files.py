import functools

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import build_efficientnet
from goodbad_pipeline.networks.scaling import resolve_scale
from goodbad_pipeline.networks.weight_shapes import check_shapes

IMAGES = np.random.default_rng(3).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
TINY = {"phi": -6, "resolution": 32, "classes": 3}


def _outputs(model):
    return np.asarray(model(IMAGES))


def _legacy_file(model, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def _spread(model):
    """Give every vector of a model values that no fresh model has."""
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def official():
    """A function from include_top to EfficientNetB0 as Keras builds it, its automatic names numbered."""

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
def test_our_own_files_load(tiny_model, tmp_path, suffix):
    path = tmp_path / f"saved{suffix}"
    if suffix == ".h5":
        _legacy_file(tiny_model, path)
    else:
        (tiny_model.save if suffix == ".keras" else tiny_model.save_weights)(path)
    np.testing.assert_array_equal(_outputs(build_efficientnet(**TINY, weights=path)), _outputs(tiny_model))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_shapes_tell_whether_a_file_fits(tiny_model, tmp_path, suffix):
    path = tmp_path / f"saved{suffix}"
    if suffix == ".h5":
        _legacy_file(tiny_model, path)
    else:
        (tiny_model.save if suffix == ".keras" else tiny_model.save_weights)(path)
    check_shapes(path, resolve_scale(phi=-6, resolution=64), 3)
    for scale in (resolve_scale(phi=-4), resolve_scale(phi=-6, resolution=64, family="efficientnet_lite")):
        with pytest.raises(InputError, match="do not fit"):
            check_shapes(path, scale, 3)
    with pytest.raises(InputError, match=r"classifier has the shape \(720, 4\); received \(720, 3\)"):
        check_shapes(path, resolve_scale(phi=-6, resolution=64), 4)


def test_a_network_without_classifier_takes_a_file_with_one(tiny_model, tmp_path):
    tiny_model.save_weights(tmp_path / "saved.weights.h5")
    model = build_efficientnet(**TINY, weights=str(tmp_path / "saved.weights.h5"), include_top=False)
    cut = keras.Model(tiny_model.input, tiny_model.get_layer("avg_pool").output)
    np.testing.assert_array_equal(_outputs(model), _outputs(cut))


@pytest.mark.no_cover
@pytest.mark.parametrize("legacy", [pytest.param(False, marks=pytest.mark.long), True])
@pytest.mark.parametrize("include_top", [True, pytest.param(False, marks=pytest.mark.long)])
def test_files_of_keras_applications_load(tmp_path, official, include_top, legacy):
    theirs = official(include_top)
    path = tmp_path / ("b0.h5" if legacy else "b0.weights.h5")
    if legacy:
        _legacy_file(theirs, path)
    else:
        theirs.save_weights(path)
    ours = build_efficientnet(variant="b0", resolution=32, classes=5, weights=path, include_top=include_top)
    np.testing.assert_allclose(_outputs(ours), _outputs(theirs), rtol=0, atol=1e-5)


def test_a_file_without_classifier_leaves_one_of_zeros(tmp_path):
    path = _legacy_file(build_efficientnet(**TINY, include_top=False), tmp_path / "notop.h5")
    model = build_efficientnet(**TINY, weights=path, seed=1)
    fresh = build_efficientnet(**TINY, seed=1)
    assert [np.any(m.get_layer("predictions").kernel) for m in (model, fresh)] == [False, True]
    assert not np.array_equal(_outputs(model), _outputs(fresh))


def test_a_frozen_model_saves_and_loads_alike(tmp_path):
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


def test_another_number_of_classes_is_refused_by_name(tiny_model, tmp_path):
    tiny_model.save_weights(tmp_path / "three.weights.h5")
    message = _refused(tmp_path / "three.weights.h5", classes=4)
    assert "layer predictions has the shapes [(720, 4), (4,)]; received the shapes [(720, 3), (3,)]" in message


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize(("phi", "layer"), [(-4, "block3a_project_conv"), (-7, "stem_conv")])
def test_another_network_is_refused_by_layer(tiny_model, tmp_path, phi, layer, suffix):
    path = tmp_path / f"saved{suffix}"
    (tiny_model.save if suffix == ".keras" else tiny_model.save_weights)(path)
    assert f"layer {layer} has the shapes" in _refused(path, phi=phi)


def test_a_layer_too_many_is_refused_by_name(tiny_model, tmp_path):
    path = _legacy_file(tiny_model, tmp_path / "named.h5")
    with h5py.File(path, "a") as file:
        file.copy(file["block2a_bn"], "block2z_bn")
    assert "hold the layer block2z_bn, which efficientnet_phi lacks" in _refused(path)


def test_a_numbered_layer_too_many_is_refused_by_its_number(tiny_model, tmp_path):
    tiny_model.save_weights(tmp_path / "numbered.weights.h5")
    with h5py.File(tmp_path / "numbered.weights.h5", "a") as file:
        file.copy(file["layers/conv2d"], "layers/conv2d_99")
    assert "hold the layer conv2d_99" in _refused(tmp_path / "numbered.weights.h5")


def test_a_refused_file_changes_nothing(tiny_model, tmp_path):
    from goodbad_pipeline.networks.weight_files import assign_weights, read_weight_file

    path = _legacy_file(tiny_model, tmp_path / "cut.h5")
    with h5py.File(path, "a") as file:
        del file["top_bn"]
    model = build_efficientnet(**TINY)
    before = _outputs(model)
    with pytest.raises(InputError, match=r"layer top_bn has the shapes .*; received nothing"):
        assign_weights(model, read_weight_file(path, model), "cut", with_classifier=True)
    np.testing.assert_array_equal(_outputs(model), before)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_a_file_that_is_no_weights_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"neither HDF5 nor zip")
    assert "cannot be read" in _refused(path)


def test_an_empty_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "empty.h5"
    h5py.File(path, "w").close()
    assert "received nothing" in _refused(path)
