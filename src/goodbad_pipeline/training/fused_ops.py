"""While a network is trained, its layers lend their work to faster kernels. They stay Keras's own layers throughout.

Whoever saves, loads, grows or serves the network sees plain Keras. Outputs, gradients and moving statistics are those
of plain Keras but for rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

Call = Callable[..., Any]


@contextmanager
def fused_training(model: keras.Model) -> Iterator[None]:
    """Train a compiled model through faster kernels as long as this is open: its first step has to be in here.

    What has no faster kernel works as always: other backends than TensorFlow, XLA (which fuses by itself), other
    precision than float32, unusual settings.
    """
    calls = _calls(model) if keras.backend.backend() == "tensorflow" and not model.jit_compile else {}
    for layer, call in calls.items():
        layer.call = call
    try:
        yield
    finally:
        for layer in calls:
            del layer.call


def _calls(model: keras.Model) -> dict[keras.Layer, Call]:
    """The layers that have a faster way, and that way."""
    return {
        layer: partial(call, layer)
        for layer in model.layers
        if layer.compute_dtype == "float32" and (call := _faster(layer)) is not None
    }


def _faster(layer: keras.Layer) -> Call | None:
    if isinstance(layer, keras.layers.BatchNormalization):
        return _normalise if _is_plain(layer) else None
    if isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.silu:
        return _swish
    return None


def _is_plain(layer: keras.layers.BatchNormalization) -> bool:
    """Whether it normalises the channels of feature maps, and does nothing besides."""
    maps = layer.input.ndim == 4 and layer.axis in (-1, 3)
    return maps and layer.scale and layer.center and not (layer.renorm or layer.synchronized)


def _normalise(
    layer: keras.layers.BatchNormalization, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """What the layer's own call does, its update of moving statistics included."""
    if mask is not None or not (training and layer.trainable):
        return type(layer).call(layer, inputs, training=training, mask=mask)  # without statistics it is the faster one
    from goodbad_pipeline.training.kernels import normalise_batch  # noqa: PLC0415 - TensorFlow alone has it

    outputs, mean, variance = normalise_batch(inputs, layer.gamma.value, layer.beta.value, layer.epsilon)
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
    return outputs


def _swish(_: keras.layers.Activation, inputs: Any) -> Any:
    from goodbad_pipeline.training.kernels import swish  # noqa: PLC0415 - TensorFlow alone has it

    return swish(inputs)
