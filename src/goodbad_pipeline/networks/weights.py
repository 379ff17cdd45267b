"""Read weights from files or published sources, and assign the weights to a model if they fit.

In `.weights.h5` and `.keras` files of Keras 3, the key of a layer is its class and a number. In `.h5` files of Keras 2,
the key is the name of the layer. B0 to B7 are published as `.h5` files, the lite networks as PyTorch files.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import IMAGENET_CLASSES, IMAGENET_STDDEV, expand_blocks
from goodbad_pipeline.networks.layers import renew_standardisation
from goodbad_pipeline.networks.pretrained import IMAGENET, LITE_NETWORKS, imagenet_network, lite_file, open_weights
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.networks.torch_file import read_torch_weights

LayerWeights = Mapping[str, list[np.ndarray]]

CLASSIFIER = "predictions"
_SNAKE_CASE = {  # every layer class with weights
    "BatchNormalization": "batch_normalization",
    "Conv2D": "conv2d",
    "Dense": "dense",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Normalization": "normalization",
}
# PyTorch orders axes (out, in, height, width), Keras (height, width, in, out), or (height, width, in, 1) for depthwise.
_TORCH_AXES = {"conv": (2, 3, 1, 0), "dwconv": (2, 3, 0, 1)}
_TORCH_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_DOWNLOADS = "https://storage.googleapis.com/keras-applications/"
# MD5 of the file with classifier and of the file without, as in keras.applications.
_DIGESTS = {
    "b0": ("902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"),
    "b1": ("1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"),
    "b2": ("b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "b3": ("ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"),
    "b4": ("18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "b5": ("ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"),
    "b6": ("165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"),
    "b7": ("8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
}


def load_weights(model: keras.Model, weights: str | Path | None, scale: NetworkScale, classes: int | None) -> None:
    """Load `imagenet` or a file into a model. With `weights` None the model keeps its random weights.

    `classes` is None if the model has no classifier. The ImageNet classifier is loaded only for 1000 classes.
    """
    if weights is None:
        return
    if str(weights) != IMAGENET:
        stored = read_weight_file(Path(weights), model)
        assign_weights(model, stored, repr(str(weights)), with_classifier=True)
        return
    name = imagenet_network(scale) or ""
    with_classifier = classes == IMAGENET_CLASSES
    if name in LITE_NETWORKS:
        stored = read_lite(lite_file(name), scale)
    else:
        stored = read_weight_file(_download(name, with_classifier=with_classifier), model)
    assign_weights(model, stored, f"imagenet of {name}", with_classifier=with_classifier)


def assign_weights(model: keras.Model, stored: LayerWeights, source: str, *, with_classifier: bool) -> None:
    """Assign the stored weights to the layers of a model.

    The weights of the classifier become zero if `with_classifier` is false or `stored` has no classifier.

    Raises:
        InputError: A layer does not fit. The model is then unchanged.
    """
    expected = {layer.name: layer for layer in model.layers if layer.weights}
    if not with_classifier or CLASSIFIER not in stored:
        expected.pop(CLASSIFIER, None)
    for layer in expected.values():
        _check_layer(layer, stored, source)
    if surplus := sorted(set(stored) - set(expected) - {CLASSIFIER}):
        raise InputError(
            f"weights {source} hold the layer {surplus[0]}, which {model.name} lacks. Use weights of this network."
        )
    for layer in expected.values():
        for weight, value in zip(layer.weights, stored[layer.name], strict=True):
            weight.assign(value)
    renew_standardisation(model)
    if CLASSIFIER not in expected:
        zero_classifier(model)


def zero_classifier(model: keras.Model) -> None:
    """Set the weights of the classifier to zero, if the model has a classifier.

    Random weights would turn trained features into large logits, and the first epochs would only reduce these logits.
    """
    for layer in model.layers:
        if layer.name == CLASSIFIER:
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])


def _check_layer(layer: keras.Layer, stored: LayerWeights, source: str) -> None:
    expected = [tuple(weight.shape) for weight in layer.weights]
    shapes = [value.shape for value in stored.get(layer.name, [])]
    if expected != shapes:
        received = f"the shapes {shapes}" if shapes else "nothing"
        hint = "Use a file without a classifier." if layer.name == CLASSIFIER else "Use weights of this network."
        raise InputError(
            f"weights {source} do not fit: layer {layer.name} has the shapes {expected}; received {received}. {hint}"
        )


def read_weight_file(path: Path, model: keras.Model) -> LayerWeights:
    """Read the weights in a Keras file by layer name."""
    with open_weights(path) as file:
        if "layers" in file:
            stored = _read_numbered(file["layers"], model)
        else:
            stored = _read_named(file.get("model_weights", file))
    return _fix_normalization(stored)


def _read_numbered(group: h5py.Group, model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Read the weights in a Keras 3 file by layer name.

    Weights without a layer in the model keep the key of the file. `assign_weights` then rejects the file.
    """
    names = {"dense": CLASSIFIER} | {key: name for name, key in _numbered_keys(model)}
    stored = {names.get(key, key): _variables(layer) for key, layer in group.items()}
    return {name: weights for name, weights in stored.items() if weights}


def _variables(layer: h5py.Group) -> list[np.ndarray]:
    stored = layer.get("vars", ())
    return [np.asarray(stored[str(index)]) for index in range(len(stored))]


def _numbered_keys(model: keras.Model) -> Iterator[tuple[str, str]]:
    """Yield the name of each layer, and the key of the layer in a Keras 3 file.

    The key is the class in snake case. All layers of a class but the first also get a number: `conv2d`, `conv2d_1`.
    """
    counts: dict[str, int] = {}
    for layer in model.layers:
        kind = _SNAKE_CASE.get(type(layer).__name__)
        if kind is None:
            continue
        count = counts[kind] = counts.get(kind, -1) + 1
        yield layer.name, f"{kind}_{count}" if count else kind


def _read_named(group: h5py.Group) -> dict[str, list[np.ndarray]]:
    stored = {}
    for name, layer in group.items():
        weights = [np.asarray(layer[weight]) for weight in layer.attrs.get("weight_names", ())]
        if weights:
            stored["normalization" if name.startswith("normalization") else name] = weights
    return stored


def _fix_normalization(stored: dict[str, list[np.ndarray]]) -> LayerWeights:
    """Correct the input normalisation of the published B0 to B7 files (tensorflow/tensorflow#49930).

    The files contain standard deviations in place of variances. keras.applications corrects this by an extra layer.
    """
    weights = stored.get("normalization", [])
    if len(weights) == 3 and weights[1].shape == (3,) and np.allclose(weights[1], IMAGENET_STDDEV, atol=1e-4):
        return stored | {"normalization": [weights[0], np.square(IMAGENET_STDDEV), weights[2]]}
    return stored


def _download(name: str, *, with_classifier: bool) -> Path:
    """Return the weights file of network ``name``, B0 to B7, from Keras's cache or downloaded. Check its hash."""
    suffix, digest = (".h5", 0) if with_classifier else ("_notop.h5", 1)
    file_name = f"efficientnet{name}{suffix}"
    try:
        path = keras.utils.get_file(
            file_name, f"{_DOWNLOADS}{file_name}", cache_subdir="models", file_hash=_DIGESTS[name][digest]
        )
    except Exception as error:  # get_file raises bare Exception
        reason = " ".join(str(error).split())
        raise InputError(
            f"weights=imagenet of {name} could not be downloaded ({reason}). "
            f"Put {file_name} into ~/.keras/models ($KERAS_HOME/models if KERAS_HOME is set), or set weights to the "
            "path of the file, or use lite0."
        ) from error
    return Path(path)


def read_lite(path: Path, scale: NetworkScale) -> dict[str, list[np.ndarray]]:
    """Read the PyTorch file of a lite network. The result has the layer names of this project."""
    weights = read_torch_weights(path)
    try:
        stored = {name: _convert(weights, torch_name, kind) for name, torch_name, kind in _lite_layers(scale)}
        stored[CLASSIFIER] = [weights["_fc.weight"].T, weights["_fc.bias"]]
    except KeyError as error:
        raise InputError(
            f"The weights file {path} lacks {error}. Reinstall the Python package that installed this file."
        ) from error
    return stored


def _convert(weights: dict[str, np.ndarray], name: str, kind: str) -> list[np.ndarray]:
    if kind == "bn":
        return [weights[f"{name}.{part}"] for part in _TORCH_BATCH_NORM]
    return [weights[f"{name}.weight"].transpose(_TORCH_AXES[kind])]


def _lite_layers(scale: NetworkScale) -> Iterator[tuple[str, str, str]]:
    """Yield Keras name, PyTorch name and kind (conv, dwconv or bn) of every layer except the classifier."""
    yield from (("stem_conv", "_conv_stem", "conv"), ("stem_bn", "_bn0", "bn"))
    for number, block in enumerate(expand_blocks(scale)):
        name, torch_name = block.name, f"_blocks.{number}"
        if block.has_expansion:
            yield f"{name}_expand_conv", f"{torch_name}._expand_conv", "conv"
            yield f"{name}_expand_bn", f"{torch_name}._bn0", "bn"
        yield f"{name}_dwconv", f"{torch_name}._depthwise_conv", "dwconv"
        yield f"{name}_bn", f"{torch_name}._bn1", "bn"
        yield f"{name}_project_conv", f"{torch_name}._project_conv", "conv"
        yield f"{name}_project_bn", f"{torch_name}._bn2", "bn"
    yield from (("top_conv", "_conv_head", "conv"), ("top_bn", "_bn1", "bn"))
