"""Conversion of a Keras model to ONNX, LiteRT float32 and LiteRT int8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from goodbad_pipeline.errors import InputError, install_command
from goodbad_pipeline.exporting.folding import fold_normalisation


def convert_model(model: keras.Model, calibration_pixels: np.ndarray) -> dict[str, bytes]:
    """Convert a network, after folding its batch normalization into the convolutions.

    The ranges of int8 values are measured on the images ``calibration_pixels`` (uint8, shape (m, side, side, 3)).

    Returns:
        File contents by backend: ``onnx`` (float32, any batch size), ``litert`` (float32, batch size 1) and
        ``litert_int8`` (uint8 input, batch size 1).

    Raises:
        InputError: A package is missing, the backend is not TensorFlow, or a layer cannot be folded.
    """
    require_converters()
    folded = fold_normalisation(model)
    return {
        "onnx": _to_onnx(folded),
        "litert": _to_litert(folded),
        "litert_int8": _to_litert(folded, calibration_pixels),
    }


def require_converters() -> None:
    """Raise `InputError` if a converter package is missing or Keras does not run on TensorFlow."""
    missing = [name for name in ("onnx", "tf2onnx") if find_spec(name) is None]
    if missing:
        raise InputError(f"export: the package {missing[0]} is not installed; {install_command('export')}")
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"export: needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()}")


def count_operations(onnx_file: bytes) -> Counter[str]:
    """Count the operations of each kind in an ONNX graph."""
    import onnx  # noqa: PLC0415 - optional dependency

    return Counter(node.op_type for node in onnx.load_from_string(onnx_file).graph.node)


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
