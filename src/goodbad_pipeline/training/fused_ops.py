"""Faster batch normalisation and swish for training with TensorFlow on a CPU.

On a CPU these operations are limited by memory access, so this module reads and writes each feature map as rarely as
possible. docs/performance.md has measurements. The layers are still layers of Keras, so saving, loading and serving
are not affected. Outputs, gradients and moving statistics equal those of Keras, except for rounding.
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
    """Use faster operations in the layers of a compiled model within this context.

    The first train step must run within the context, because Keras then traces the operations. No layer is changed if
    the backend is not TensorFlow, or if XLA compiles the model, because XLA fuses operations itself. Layers that do
    not compute in float32 or have unusual settings are not changed either.
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

    One kernel computes the outputs and one kernel the gradient; Keras uses about a dozen kernels. TensorFlow's kernel
    divides the variance by n - 1, but the returned variance is divided by n, as in Keras.
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=tf.zeros([0]), variance=tf.zeros([0]), epsilon=epsilon, is_training=True
    )
    values = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), x.dtype)
    return outputs, mean, variance * tf.maximum(values - 1, 1) / values


@keras.ops.custom_gradient
def swish(x: Any) -> tuple[Any, Call]:
    """Compute swish, x · sigmoid(x) (arXiv 1710.05941). XLA compiles the gradient, which needs only x in memory."""
    return tf.nn.silu(x), lambda upstream: _swish_gradient(x, upstream)


def _xla(function: Call) -> Call:
    """Compile ``function`` with XLA if the backend is TensorFlow. Another backend never calls ``function``."""
    return tf.function(function, jit_compile=True) if keras.backend.backend() == "tensorflow" else function


@_xla
def _swish_gradient(x: Any, upstream: Any) -> Any:
    gate = tf.sigmoid(x)
    return upstream * gate * (1 + x * (1 - gate))


def _fused_calls(model: keras.Model) -> dict[keras.Layer, Call]:
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
    """Return whether the layer normalises the channels of feature maps and has no unusual options."""
    maps = layer.input.ndim == 4 and layer.axis in (-1, 3)
    return maps and layer.scale and layer.center and not (layer.renorm or layer.synchronized)


def _normalise(
    layer: keras.layers.BatchNormalization, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """Compute batch normalisation and update the moving statistics, as the layer's own call does."""
    if mask is not None or not (training and layer.trainable):
        # Keras is fast if no batch statistics are needed.
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance = normalise_batch(inputs, layer.gamma.value, layer.beta.value, layer.epsilon)
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
    return outputs


def _swish(_: keras.layers.Activation, inputs: Any) -> Any:
    return swish(inputs)
