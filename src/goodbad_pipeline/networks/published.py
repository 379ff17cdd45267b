"""The published ImageNet weights: the lite networks from PyTorch's names and axes, B0 to B7 by Keras's download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras.src.applications import efficientnet as keras_efficientnet

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import expand_blocks
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.networks.torch_file import read_torch_weights
from goodbad_pipeline.networks.weight_files import CLASSIFIER

# PyTorch keeps (out, in, height, width), Keras (height, width, in, out), depthwise (height, width, in, 1).
_AXES = {"conv": (2, 3, 1, 0), "dwconv": (2, 3, 0, 1)}
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def read_lite(path: Path, scale: NetworkScale) -> dict[str, list[np.ndarray]]:
    """Weights of a lite network by our layer names.

    Args:
        path: The PyTorch file of its package.
        scale: The network, which says how the blocks are numbered.

    Raises:
        InputError: The file is refused or lacks a layer.
    """
    weights = read_torch_weights(path)
    try:
        found = {ours: _convert(weights, theirs, kind) for ours, theirs, kind in _lite_layers(scale)}
        found[CLASSIFIER] = [weights["_fc.weight"].T, weights["_fc.bias"]]
    except KeyError as error:
        raise InputError(f"The weights file {path} lacks {error}. Install its package anew.") from error
    return found


def _convert(weights: dict[str, np.ndarray], name: str, kind: str) -> list[np.ndarray]:
    if kind == "bn":
        return [weights[f"{name}.{part}"] for part in _BATCH_NORM]
    return [weights[f"{name}.weight"].transpose(_AXES[kind])]


def _lite_layers(scale: NetworkScale) -> Iterator[tuple[str, str, str]]:
    """Our name, PyTorch's name and the kind of every layer but the classifier."""
    yield from (("stem_conv", "_conv_stem", "conv"), ("stem_bn", "_bn0", "bn"))
    for number, block in enumerate(expand_blocks(scale)):
        ours, theirs = block.name, f"_blocks.{number}"
        if block.has_expansion:
            yield f"{ours}_expand_conv", f"{theirs}._expand_conv", "conv"
            yield f"{ours}_expand_bn", f"{theirs}._bn0", "bn"
        yield f"{ours}_dwconv", f"{theirs}._depthwise_conv", "dwconv"
        yield f"{ours}_bn", f"{theirs}._bn1", "bn"
        yield f"{ours}_project_conv", f"{theirs}._project_conv", "conv"
        yield f"{ours}_project_bn", f"{theirs}._bn2", "bn"
    yield from (("top_conv", "_conv_head", "conv"), ("top_bn", "_bn1", "bn"))


def download(name: str, *, with_classifier: bool) -> Path:
    """The weights file of B0 to B7, from Keras's cache or its server, checked against Keras's own digest.

    Raises:
        InputError: There is no connection; the message says what to do instead.
    """
    suffix, digest = (".h5", 0) if with_classifier else ("_notop.h5", 1)
    file_name = f"efficientnet{name}{suffix}"
    try:
        path = keras.utils.get_file(
            file_name,
            f"{keras_efficientnet.BASE_WEIGHTS_PATH}{file_name}",
            cache_subdir="models",
            file_hash=keras_efficientnet.WEIGHTS_HASHES[name][digest],
        )
    except Exception as error:  # get_file raises bare Exception
        reason = " ".join(str(error).split())
        raise InputError(
            f"weights=imagenet of {name} could not be downloaded ({reason}). "
            f"Put {file_name} into the models folder of Keras's home, set weights to its path, or use lite0."
        ) from error
    return Path(path)
