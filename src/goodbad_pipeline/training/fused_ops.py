"""Faster operations for training with TensorFlow on a CPU: batch normalisation and swish in few passes over memory.

On a CPU these operations wait for memory, not for arithmetic: what counts is how often a feature map is read and
written. docs/performance.md has the measurements. Layers stay Keras's own, so that saving, loading and serving are not
affected. Outputs, gradients and moving statistics equal those of plain Keras, except for rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

Call = Callable[..., Any]


@contextmanager
def fused_training(model: keras.Model) -> Iterator[None]:
    """Replace the calls of a compiled model's layers by faster ones, within this context; trace the first step in it.

    Nothing is replaced under another backend than TensorFlow, under XLA, which fuses operations itself, under another
    precision than float32, or for unusual settings.
    """
    calls = _fused_calls(model) if keras.backend.backend() == "tensorflow" and not model.jit_compile else {}
    for layer, call in calls.items():
        layer.call = call
    try:
        yield
    finally:
        for layer in calls:
            del layer.call


def normalise_batch(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Apply batch normalisation to feature maps (b, height, width, c); return outputs, mean and variance (c,).

    It is one kernel, whose gradient is another; Keras composes a dozen. The variance divides by n. The kernel returns
    the sample variance, which divides by n - 1 and which Keras does not use.
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=tf.zeros([0]), variance=tf.zeros([0]), epsilon=epsilon, is_training=True
    )
    values = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), x.dtype)
    return outputs, mean, variance * tf.maximum(values - 1, 1) / values


@keras.ops.custom_gradient
def swish(x: Any) -> tuple[Any, Call]:
    """Compute swish, x · sigmoid(x) (arXiv 1710.05941); only x is stored, and the gradient is one compiled loop."""
    return tf.nn.silu(x), lambda upstream: _swish_gradient(x, upstream)


def _xla(function: Call) -> Call:
    """Compile by XLA under TensorFlow; other backends do not call the function."""
    return tf.function(function, jit_compile=True) if keras.backend.backend() == "tensorflow" else function


@_xla
def _swish_gradient(x: Any, upstream: Any) -> Any:
    gate = tf.sigmoid(x)
    return upstream * gate * (1 + x * (1 - gate))


def _fused_calls(model: keras.Model) -> dict[keras.Layer, Call]:
    """Return the faster call of each layer that has one."""
    return {
        layer: partial(call, layer)
        for layer in model.layers
        if layer.compute_dtype == "float32" and (call := _fused_call(layer)) is not None
    }


def _fused_call(layer: keras.Layer) -> Call | None:
    if isinstance(layer, keras.layers.BatchNormalization):
        return _normalise if _is_plain(layer) else None
    if isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.silu:
        return _swish
    return None


def _is_plain(layer: keras.layers.BatchNormalization) -> bool:
    """Return whether the layer normalises the channels of feature maps, without further options."""
    maps = layer.input.ndim == 4 and layer.axis in (-1, 3)
    return maps and layer.scale and layer.center and not (layer.renorm or layer.synchronized)


def _normalise(
    layer: keras.layers.BatchNormalization, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """Replace the layer's call, including its update of moving statistics."""
    if mask is not None or not (training and layer.trainable):
        return type(layer).call(layer, inputs, training=training, mask=mask)  # is faster without batch statistics
    outputs, mean, variance = normalise_batch(inputs, layer.gamma.value, layer.beta.value, layer.epsilon)
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
    return outputs


def _swish(_: keras.layers.Activation, inputs: Any) -> Any:
    return swish(inputs)
