"""Weights by layer name: read from Keras files, checked against a model, and only then assigned.

Three containers hold the same arrays: `.weights.h5` and `.keras` of Keras 3, which number the layers of each class, and
`.h5` of Keras 2, which names them (the published B0 to B7 files).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import IMAGENET_STDDEV
from goodbad_pipeline.networks.layers import renew_standardisation
from goodbad_pipeline.networks.weight_shapes import open_weights

LayerWeights = Mapping[str, list[np.ndarray]]

CLASSIFIER = "predictions"
_CLASSIFIER_KEY = "dense"


def read_weight_file(path: Path, model: keras.Model) -> LayerWeights:
    """The weights in a file, under the model's layer names.

    Layers the file lacks are left out; `assign_weights` decides whether that is allowed.

    Raises:
        InputError: The file cannot be read as what its suffix says.
    """
    with open_weights(path) as file:
        if "layers" in file:
            found = _read_numbered(file["layers"], model)
        else:
            found = _read_named(file.get("model_weights", file))
    return _mend_normalization(found)


def _read_numbered(group: h5py.Group, model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Layers that the model has no number for keep that number as their name, to be refused by it."""
    names = {_CLASSIFIER_KEY: CLASSIFIER} | {key: name for name, key in _numbered_keys(model)}
    found = {names.get(key, key): _variables(layer) for key, layer in group.items()}
    return {name: weights for name, weights in found.items() if weights}


def _variables(layer: h5py.Group) -> list[np.ndarray]:
    stored = layer.get("vars", ())
    return [np.asarray(stored[str(index)]) for index in range(len(stored))]


def _numbered_keys(model: keras.Model) -> Iterator[tuple[str, str]]:
    """Layer names and their keys in a Keras 3 file: the class in snake case and a count from the second on."""
    counts: dict[str, int] = {}
    for layer in model.layers:
        kind = _SNAKE_CASE.get(type(layer).__name__)
        if kind is None:
            continue
        count = counts[kind] = counts.get(kind, -1) + 1
        yield layer.name, f"{kind}_{count}" if count else kind


# Every class of ours that has weights.
_SNAKE_CASE = {
    "BatchNormalization": "batch_normalization",
    "Conv2D": "conv2d",
    "Dense": "dense",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Normalization": "normalization",
}


def _read_named(group: h5py.Group) -> dict[str, list[np.ndarray]]:
    found = {}
    for name, layer in group.items():
        weights = [np.asarray(layer[weight]) for weight in layer.attrs.get("weight_names", ())]
        if weights:
            found["normalization" if name.startswith("normalization") else name] = weights
    return found


def _mend_normalization(found: dict[str, list[np.ndarray]]) -> LayerWeights:
    """The published B0 to B7 files hold standard deviations where variances belong (tensorflow/tensorflow#49930).

    keras.applications makes up for it with a layer of its own; here the number itself is put right.
    """
    weights = found.get("normalization", [])
    if len(weights) == 3 and weights[1].shape == (3,) and np.allclose(weights[1], IMAGENET_STDDEV, atol=1e-4):
        return found | {"normalization": [weights[0], np.square(IMAGENET_STDDEV), weights[2]]}
    return found


def assign_weights(model: keras.Model, found: LayerWeights, source: str, *, with_classifier: bool) -> None:
    """Give every layer its weights, or none if one does not fit.

    Args:
        model: The network, changed in place.
        found: Weights by layer name, in the order of the layer's variables.
        source: What to call their origin in an error.
        with_classifier: Whether the classifier is loaded too, where both sides have one.

    Raises:
        InputError: A layer is missing or has another shape; it is named, with both shapes.
    """
    expected = {layer.name: layer for layer in model.layers if layer.weights}
    if not with_classifier or CLASSIFIER not in found:
        expected.pop(CLASSIFIER, None)
    for layer in expected.values():
        _check_layer(layer, found, source)
    if surplus := sorted(set(found) - set(expected) - {CLASSIFIER}):
        raise InputError(
            f"weights {source} hold the layer {surplus[0]}, which {model.name} lacks. Use those of this network."
        )
    for layer in expected.values():
        for weight, value in zip(layer.weights, found[layer.name], strict=True):
            weight.assign(value)
    renew_standardisation(model)
    if CLASSIFIER not in expected:
        zero_classifier(model)


def zero_classifier(model: keras.Model) -> None:
    """Set the weights of a classifier, if there is one, to zero: what learnt features want under a new one.

    They are large beside the usual random start: logits would begin far out, and the first epochs would only bring them
    back.
    """
    for layer in model.layers:
        if layer.name == CLASSIFIER:
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])


def _check_layer(layer: keras.Layer, found: LayerWeights, source: str) -> None:
    ours = [tuple(weight.shape) for weight in layer.weights]
    theirs = [value.shape for value in found.get(layer.name, [])]
    if ours != theirs:
        received = f"the shapes {theirs}" if theirs else "nothing"
        hint = "Set classes, or use a file without it." if layer.name == CLASSIFIER else "Use those of this network."
        raise InputError(
            f"weights {source} do not fit: layer {layer.name} has the shapes {ours}; received {received}. {hint}"
        )
