"""Folding of batch normalization into the preceding convolution, which saves operations and keeps the outputs."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.layers import renew_standardisation

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fold_normalisation(model: keras.Model) -> keras.Model:
    """Return a float32 network with the same predictions and without BatchNormalization.

    Scale and shift become part of the kernel and bias of the preceding convolution (arXiv 1712.05877, section 3.2). The
    computation is in float64, to avoid rounding errors.

    Raises:
        InputError: A normalization does not follow a convolution, or other layers use the output of the convolution.
    """
    if isinstance(model, keras.Sequential):  # it cannot skip layers
        model = keras.Model(model.inputs, model.outputs)
    pairs = {norm.name: _convolution_before(norm) for norm in model.layers if _normalises(norm)}
    folded = {convolution.name for convolution in pairs.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config() | {"dtype": "float32"}
        return type(layer).from_config(config | {"use_bias": True} if layer.name in folded else config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if _normalises(layer) else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    _fill(copy, model, {convolution.name: model.get_layer(norm) for norm, convolution in pairs.items()})
    return copy


def _normalises(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _convolution_before(norm: keras.layers.Layer) -> keras.layers.Layer:
    before = norm.input._keras_history.operation
    linear = getattr(before, "activation", None) is keras.activations.linear
    if not isinstance(before, CONVOLUTIONS) or not linear or len(before._outbound_nodes) != 1:
        raise InputError(
            f"export: {norm.name} cannot be folded; its input must be a convolution without activation, and no other "
            "layer may use the output of this convolution"
        )
    return before


def _fill(copy: keras.Model, model: keras.Model, norms: Mapping[str, keras.layers.Layer]) -> None:
    for layer in (layer for layer in copy.layers if layer.weights):
        weights = model.get_layer(layer.name).get_weights()
        layer.set_weights(_folded(layer, weights, norms[layer.name]) if layer.name in norms else weights)
    renew_standardisation(copy)


def _folded(convolution: keras.layers.Layer, weights: list[np.ndarray], norm: keras.layers.Layer) -> list[np.ndarray]:
    kernel, *bias = (weight.astype(np.float64) for weight in weights)
    gamma, beta, mean, variance = _statistics(norm)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    # A depthwise kernel is (height, width, channels, multiplier): its last two axes are the outputs.
    last = kernel.shape[-2:] if isinstance(convolution, keras.layers.DepthwiseConv2D) else kernel.shape[-1:]
    return [kernel * scale.reshape(last), beta + ((bias[0] if bias else 0.0) - mean) * scale]


def _statistics(norm: keras.layers.Layer) -> tuple[np.ndarray, ...]:
    """Return gamma, beta, moving mean and moving variance, each float64 with shape (channels,)."""
    mean = keras.ops.convert_to_numpy(norm.moving_mean).astype(np.float64)
    variance = keras.ops.convert_to_numpy(norm.moving_variance).astype(np.float64)
    gamma = keras.ops.convert_to_numpy(norm.gamma).astype(np.float64) if norm.scale else np.ones_like(mean)
    beta = keras.ops.convert_to_numpy(norm.beta).astype(np.float64) if norm.center else np.zeros_like(mean)
    return gamma, beta, mean, variance
