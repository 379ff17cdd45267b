"""Conversion of a Keras model to ONNX, LiteRT float32 and LiteRT int8, with batch normalization folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.layers import renew_standardisation

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def convert_model(model: keras.Model, calibration_pixels: np.ndarray) -> dict[str, bytes]:
    """Convert a network, after folding its batch normalization into the convolutions.

    The ranges of int8 values are measured on the images ``calibration_pixels`` (uint8, shape (m, side, side, 3)).

    Returns:
        File contents by backend: ``onnx`` (float32, any batch size), ``litert`` (float32, batch size 1) and
        ``litert_int8`` (uint8 input, batch size 1).

    Raises:
        InputError: The backend is not TensorFlow, or a layer cannot be folded.
    """
    require_tensorflow()
    folded = fold_normalisation(model)
    return {
        "onnx": _to_onnx(folded),
        "litert": _to_litert(folded),
        "litert_int8": _to_litert(folded, calibration_pixels),
    }


def require_tensorflow() -> None:
    """Raise `InputError` if Keras does not run on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"export: needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()}")


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


def count_operations(onnx_file: bytes) -> Counter[str]:
    """Count the operations of each kind in an ONNX graph."""
    import onnx  # noqa: PLC0415 - optional dependency

    return Counter(node.op_type for node in onnx.load_from_string(onnx_file).graph.node)


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


def _to_onnx(folded: keras.Model) -> bytes:
    signature = [keras.InputSpec(shape=folded.input_shape, dtype="float32", name="image")]
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        folded.export(file, format="onnx", verbose=False, input_signature=signature)
        content = file.read_bytes()
    if count_operations(content)["BatchNormalization"]:
        raise InputError("export: the ONNX graph still contains BatchNormalization after folding: report this as a bug")
    return content


def _to_litert(folded: keras.Model, calibration_pixels: np.ndarray | None = None) -> bytes:
    import tensorflow as tf  # noqa: PLC0415 - Keras may run on another backend
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415 - there is no public name
        convert_variables_to_constants_v2,
    )

    image = tf.TensorSpec((1, *folded.input_shape[1:]), tf.float32, name="image")
    function = tf.function(lambda image: folded(image, training=False)).get_concrete_function(image)
    # Quantization cannot read variables, so they become constants.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(function)])
    if calibration_pixels is not None:
        _quantise(converter, calibration_pixels)
    return bytes(converter.convert())


def _quantise(converter: Any, calibration_pixels: np.ndarray) -> None:
    """Select int8 quantization, with one range per weight channel and activation ranges measured on the images."""
    import tensorflow as tf  # noqa: PLC0415

    images = calibration_pixels.astype(np.float32)
    images[0, 0, :2] = [[0.0], [255.0]]  # the full range, so that a uint8 pixel equals its quantized value

    def examples() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [image[None]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
