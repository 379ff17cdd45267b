"""Networks of keras.applications, built without weights and counted as the paper counts."""

from __future__ import annotations

import math

import keras

from goodbad_pipeline.networks.complexity import Cost


def count_application(name: str) -> Cost:
    """Build a network of keras.applications at its own resolution and count it.

    Args:
        name: Its function there, `ResNet50`.
    """
    return count_model(getattr(keras.applications, name)(weights=None))


def count_model(model: keras.Model) -> Cost:
    """Count parameters, multiply-adds and convolution outputs of any built model of convolutions and dense layers."""
    macs = activations = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            macs += math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
            _, height, width, channels = layer.output.shape
            kernels = [weight for weight in layer.weights if len(weight.shape) == 4]
            macs += sum(math.prod(kernel.shape) for kernel in kernels) * height * width
            activations += channels * height * width
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Cost(model.count_params(), trainable, macs, activations)
