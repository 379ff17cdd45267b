"""Grow a trained network into a larger network with the same outputs (similar to Net2Net, arXiv 1511.05641).

Wider layers: new channels follow the old channels. Weights from new channels to old channels are zero, so the old
channels do not change. Weights to new channels are random, so that all new channels differ.

Deeper stages: new blocks with a shortcut follow the old blocks. The last convolution of a new block has zero weights
to the old channels, so the block does not change the old channels. A zero scale in the next batch normalisation would
have the same effect, but the scale would stay zero, because fine-tuning freezes batch normalisation.

All new weights learn. At the first step, the zero weights block the gradient of the random weights, and only the zero
weights change. From the second step on, the random weights change too.
"""

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import LayerShape, layer_shape
from goodbad_pipeline.networks.layers import renew_standardisation
from goodbad_pipeline.networks.model import build_network
from goodbad_pipeline.networks.net2net_source import check_growth, shape_of_layers
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.networks.weights import CLASSIFIER, zero_classifier

_MEAN, _VARIANCE = 2, 3  # indices of the moving statistics among the weights of a batch normalisation


def grow_network(
    small: keras.Model,
    target: NetworkScale,
    *,
    classes: int,
    keep_classifier: bool = True,
    seed: int | None = None,
) -> keras.Model:
    """Build a larger network that computes the same features as `small` from images of the same size.

    `target` may have another resolution, because weights do not depend on the resolution. The batch statistics of new
    channels are measured on smooth noise, so that the outputs of new and old channels have a similar scale. The
    classifier is copied if `keep_classifier` is true and `small` has `classes` classes. If not, its weights are zero.

    Raises:
        InputError: `build_network` did not build `small`, or a layer or stage of `target` is smaller than in `small`.
    """
    source, shape = read_shape(small), layer_shape(target)
    check_growth(source, shape)
    large = build_network(target, classes=classes, seed=seed)
    old = {layer.name: layer.get_weights() for layer in small.layers if layer.weights}
    bias = old.get(CLASSIFIER, [np.empty(0)])[-1]
    if not keep_classifier or bias.shape != (classes,):
        old.pop(CLASSIFIER, None)
        zero_classifier(large)
    for layer in large.layers:
        if layer.weights:
            layer.set_weights(_grown_weights(layer, old.get(layer.name), source))
    renew_standardisation(large)
    _measure_new_channels(large, old, source, seed)
    return large


def read_shape(model: keras.Model) -> LayerShape:
    """Return family, channels and blocks of a model that `build_network` built, from its layer names and shapes."""
    filters = {layer.name: layer.kernel.shape[-1] if hasattr(layer, "kernel") else None for layer in model.layers}
    return shape_of_layers(filters, model.name)


def _grown_weights(layer: keras.Layer, old: list[np.ndarray] | None, source: LayerShape) -> list[np.ndarray]:
    """Return the weights of a layer of the large network. `old` is None if the small network lacks the layer."""
    new = layer.get_weights()
    if old is None:
        if layer.name.endswith("_project_conv"):
            new[0][..., : _stage_channels(layer.name, source)] = 0
        return new
    mixes = not isinstance(layer, keras.layers.BatchNormalization | keras.layers.DepthwiseConv2D)
    return [_embed(large, small, layer.name, mixes and small.ndim > 1) for large, small in zip(new, old, strict=True)]


def _embed(new: np.ndarray, old: np.ndarray, name: str, mixes: bool) -> np.ndarray:
    """Return the new weights, with the old weights copied into the first channels.

    If `mixes` is true, weights from new channels to old channels become zero.
    """
    if new.ndim != old.ndim or any(large < small for large, small in zip(new.shape, old.shape, strict=True)):
        raise InputError(
            f"grow_from: the weights of layer {name} have the shape {old.shape}, which does not fit into the shape "
            f"{new.shape} of the target. Use a larger phi."
        )
    if new.shape == old.shape:
        return old
    if mixes:
        new[..., : old.shape[-1]] = 0
    new[tuple(slice(size) for size in old.shape)] = old
    return new


def _stage_channels(name: str, source: LayerShape) -> int:
    return source.channels[int(name.removeprefix("block")[0])]


def _measure_new_channels(
    model: keras.Model, old: dict[str, list[np.ndarray]], source: LayerShape, seed: int | None
) -> None:
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # the moving statistics become the statistics of the next batch
    model(_noise(model.input_shape[1], seed), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.set_weights(_merged_statistics(layer, old.get(layer.name), source))


def _merged_statistics(layer: keras.Layer, old: list[np.ndarray] | None, source: LayerShape) -> list[np.ndarray]:
    weights = layer.get_weights()
    if old is not None:
        for index in (_MEAN, _VARIANCE):
            weights[index][: len(old[index])] = old[index]
    elif layer.name.endswith("_project_bn"):
        # The inputs are zero, and with a variance of 0 the first step would diverge.
        channels = _stage_channels(layer.name, source)
        weights[_MEAN][:channels], weights[_VARIANCE][:channels] = 0, 1
    return weights


def _noise(side: int, seed: int | None) -> np.ndarray:
    """Return eight images of noise, enlarged from 8 × 8 pixels: float32, 0–255, shape (8, side, side, 3)."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (8, 8, 8, 3)).astype("float32")
    return keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (side, side), data_format="channels_last"))
