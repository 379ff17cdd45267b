"""Operations of a training step as TensorFlow computes them in the fewest passes over memory, for CPU and float32.

On a CPU these operations wait for memory, not for arithmetic: what counts is how often a feature map is read and
written. docs/performance.md has the measurements.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def normalise_batch(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, ...]:
    """Batch normalisation by one kernel, and its gradient by another; Keras composes a dozen.

    Args:
        x: Feature maps (b, height, width, c).
        gamma: Scale, (c,).
        beta: Offset, (c,).
        epsilon: Added to the variance.

    Returns:
        The outputs, and mean and variance of the batch, (c,) each. The variance is the one that normalises: the kernel
        gives that of a sample (times n / (n - 1)), which Keras does not keep.
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=tf.zeros([0]), variance=tf.zeros([0]), epsilon=epsilon, is_training=True
    )
    values = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), x.dtype)
    return outputs, mean, variance * tf.maximum(values - 1, 1) / values


@tf.custom_gradient
def swish(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Swish, x · sigmoid(x) (arXiv 1710.05941); only x is kept, and the gradient is one compiled loop."""
    return tf.nn.silu(x), lambda upstream: _swish_gradient(x, upstream)


@tf.function(jit_compile=True)
def _swish_gradient(x: Any, upstream: Any) -> tf.Tensor:
    gate = tf.sigmoid(x)
    return upstream * gate * (1 + x * (1 - gate))
