"""A trained network becomes a larger one that computes the same (after arXiv 1511.05641, Net2Net).

Wider: channels are added behind the old ones. What an old channel reads from a new one has weight zero, so old channels
carry on as before; what a new channel reads is random, so no two new channels are alike.

Deeper: blocks are added at the end of a stage, where each has a shortcut. What their last convolution gives to old
channels has weight zero, so the shortcut alone speaks. The zeros sit in that convolution and not in the scale of the
batch normalisation behind it, because fine-tuning freezes batch normalisation: a frozen zero would never move.

Every zero lies between something alive in front and something alive behind, so all zeros have a gradient at the first
step, and all other new weights at the second, when the zeros have moved.
"""

from __future__ import annotations

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import LayerShape, layer_shape
from goodbad_pipeline.networks.layers import renew_standardisation
from goodbad_pipeline.networks.model import build_network
from goodbad_pipeline.networks.net2net_source import check_growth, shape_of_layers
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.networks.weights import CLASSIFIER, zero_classifier

_MEAN, _VARIANCE = 2, 3  # places of the moving statistics among the weights of a batch normalisation
_IMAGES = 8
_COARSE = 8


def grow(
    small: keras.Model,
    target: NetworkScale,
    *,
    classes: int,
    keep_classifier: bool = True,
    classifier_activation: str | None = "softmax",
    batch_norm_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """A network of a larger scale that computes what `small` computes, at the same resolution, in inference.

    The scale of `small` is read from its layers: several φ round to the same layers, and weights depend on nothing
    else. Resolution is free, because weights do not depend on it: `target` may have another one, larger or smaller.

    Batch statistics of new channels are measured on smooth noise, so that they are as large as old ones.

    Args:
        small: A model of `build_network`, with or without classifier; left as it is.
        target: What to grow to; each layer at least as wide, each stage at least as deep.
        classes: Outputs of the new classifier, at least 2.
        keep_classifier: Whether to take over the classifier of `small`. It starts at zero where there is none, or it
            has another number of classes.
        classifier_activation: Keras name, or None for logits.
        batch_norm_momentum: Of the moving batch statistics, above 0 and below 1.
        seed: Makes new weights repeatable.

    Raises:
        InputError: `small` is no network of ours, or the target is smaller somewhere; found before it is built.
    """
    source, shape = read_shape(small), layer_shape(target)
    check_growth(source, shape)
    large = build_network(
        target,
        classes=classes,
        classifier_activation=classifier_activation,
        batch_norm_momentum=batch_norm_momentum,
        seed=seed,
    )
    old = {layer.name: layer.get_weights() for layer in small.layers if layer.weights}
    kept = old.get(CLASSIFIER, [np.empty(0)])[-1]
    if not keep_classifier or kept.shape != (classes,):
        old.pop(CLASSIFIER, None)
        zero_classifier(large)
    for layer in large.layers:
        if layer.weights:
            layer.set_weights(_grown(layer, old.get(layer.name), source))
    renew_standardisation(large)
    _measure_new_channels(large, old, source, seed)
    return large


def read_shape(model: keras.Model) -> LayerShape:
    """The family, widths and depths of a model of `build_network`, from the names and shapes of its layers.

    Raises:
        InputError: Layers have other names: the model is from elsewhere.
    """
    filters = {layer.name: layer.kernel.shape[-1] if hasattr(layer, "kernel") else None for layer in model.layers}
    return shape_of_layers(filters, model.name)


def _grown(layer: keras.Layer, old: list[np.ndarray] | None, source: LayerShape) -> list[np.ndarray]:
    """The weights of a layer of the large network, which holds its random start."""
    new = layer.get_weights()
    if old is None:
        if layer.name.endswith("_project_conv"):
            new[0][..., : _stage_channels(layer.name, source)] = 0
        return new
    mixes = not isinstance(layer, keras.layers.BatchNormalization | keras.layers.DepthwiseConv2D)
    return [_embed(grown, kept, layer.name, mixes and kept.ndim > 1) for grown, kept in zip(new, old, strict=True)]


def _embed(new: np.ndarray, old: np.ndarray, name: str, mixes: bool) -> np.ndarray:
    """Old weights in the first corner of new ones; where a layer mixes channels, old ones read zero of the new."""
    if new.ndim != old.ndim or any(after < before for after, before in zip(new.shape, old.shape, strict=True)):
        raise InputError(
            f"grow_from: layer {name} has the shape {old.shape}, the target {new.shape}. Use a larger phi."
        )
    if new.shape == old.shape:
        return old
    if mixes:
        new[..., : old.shape[-1]] = 0
    new[tuple(slice(size) for size in old.shape)] = old
    return new


def _stage_channels(name: str, source: LayerShape) -> int:
    """Old channels of the stage that a block belongs to."""
    return source.channels[int(name.removeprefix("block")[0])]


def _measure_new_channels(
    model: keras.Model, old: dict[str, list[np.ndarray]], source: LayerShape, seed: int | None
) -> None:
    """Set the batch statistics of new channels to those of smooth noise; old channels keep theirs."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # moving statistics become those of the one batch
    model(_noise(model.input_shape[1], seed), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.set_weights(_restored(layer, old.get(layer.name), source))


def _restored(layer: keras.Layer, old: list[np.ndarray] | None, source: LayerShape) -> list[np.ndarray]:
    weights = layer.get_weights()
    if old is not None:
        for place in (_MEAN, _VARIANCE):
            weights[place][: len(old[place])] = old[place]
    elif layer.name.endswith("_project_bn"):
        # Zeros come in: their own statistics would blow up the first step.
        channels = _stage_channels(layer.name, source)
        weights[_MEAN][:channels], weights[_VARIANCE][:channels] = 0, 1
    return weights


def _noise(side: int, seed: int | None) -> np.ndarray:
    """Images of large soft patches, float32, shape (8, side, side, 3), 0–255."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (_IMAGES, _COARSE, _COARSE, 3)).astype("float32")
    return keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (side, side), data_format="channels_last"))
