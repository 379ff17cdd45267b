"""Random changes of training images: position and colour, and Keras's RandAugment, erasing, MixUp and CutMix.

Changes of position and colour are drawn first. Then OpenCV applies these changes to uint8 images on the CPU, or Keras
applies the changes on the GPU.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np
from joblib import cpu_count
from keras import ops

from goodbad_pipeline.training.recipe import Augmentation

_VALUES = np.arange(256, dtype=np.float32)
_RANGE = (0.0, 255.0)


@dataclass(frozen=True)
class Changes:
    """Random changes of n images: a float32 array for each kind of change, or None if the kind is disabled."""

    maps: np.ndarray | None  # affine matrices from output to input coordinates (x, y): shape (n, 2, 3)
    brightness: np.ndarray | None  # factor for the mean of an image: shape (n,)
    contrast: np.ndarray | None  # factor for differences from the mean: shape (n,)


def draw_changes(count: int, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator) -> Changes:
    """Draw the changes of ``count`` images uniformly from their ranges. ``size`` is (height, width)."""
    maps = _affine_maps(count, size, augmentation, rng) if augmentation.moves else None
    if not (augmentation.brightness or augmentation.contrast):
        return Changes(maps, None, None)
    brightness, contrast = (
        (1 + rng.uniform(-1, 1, count) * most).astype(np.float32)
        for most in (augmentation.brightness, augmentation.contrast)
    )
    return Changes(maps, brightness, contrast)


def _affine_maps(count: int, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Draw affine maps that rotate, scale and mirror about the centre, and shift."""
    height, width = size
    angle = np.deg2rad(rng.uniform(-1, 1, count) * augmentation.rotation)
    scale = 1 / (1 + rng.uniform(-1, 1, count) * augmentation.zoom)
    mirror = np.where(rng.uniform(size=count) < 0.5 * augmentation.flip, -1.0, 1.0)
    shift_x = rng.uniform(-1, 1, count) * augmentation.translation * width
    shift_y = rng.uniform(-1, 1, count) * augmentation.translation * height
    a, b = mirror * scale * np.cos(angle), -mirror * scale * np.sin(angle)
    c, d = scale * np.sin(angle), scale * np.cos(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    maps = [a, b, x + shift_x - a * x - b * y, c, d, y + shift_y - c * x - d * y]
    return np.stack(maps, axis=1).reshape(count, 2, 3).astype(np.float32)


def augment(pixels: np.ndarray, changes: Changes) -> np.ndarray:
    """Apply changes on the CPU to RGB images: uint8, shape (n, height, width, 3).

    The result is also uint8, because float32 would send four times as many bytes to the GPU.
    """
    cv2.setNumThreads(1)  # OpenCV would divide each image among threads, which is slower than one image per thread
    changed = np.empty(pixels.shape, np.uint8)
    workers = min(len(pixels), cpu_count())
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda first: _apply(pixels, changed, changes, slice(first, None, workers)), range(workers)))
    return changed


def _apply(pixels: np.ndarray, changed: np.ndarray, changes: Changes, part: slice) -> None:
    """Change the images in ``part`` and write them to ``changed``."""
    height, width = pixels.shape[1:3]
    options = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    for index in range(len(pixels))[part]:
        out = changed[index]
        if changes.maps is None:
            out[:] = pixels[index]
        else:
            cv2.warpAffine(pixels[index], changes.maps[index], (width, height), dst=out, **options)
        if changes.brightness is not None and changes.contrast is not None:
            table = _colour_table(np.mean(cv2.mean(out)[:3]), changes.brightness[index], changes.contrast[index])
            cv2.LUT(out, table, dst=out)


def _colour_table(mean: float, brightness: float, contrast: float) -> np.ndarray:
    """Return the new value for each old value 0–255 in an image with this mean: uint8, shape (256,)."""
    values = _VALUES * contrast + mean * (brightness - contrast)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def augment_on_device(pixels: np.ndarray, changes: Changes) -> Any:
    """Apply changes as :func:`augment` does, but on the GPU and without rounding: float32, 0–255."""
    changed = ops.cast(ops.convert_to_tensor(pixels), "float32")
    if changes.maps is not None:
        maps = np.pad(changes.maps.reshape(-1, 6), ((0, 0), (0, 2)))
        changed = ops.image.affine_transform(
            changed, maps, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )
    if changes.brightness is not None and changes.contrast is not None:
        brightness, contrast = changes.brightness[:, None, None, None], changes.contrast[:, None, None, None]
        mean = ops.mean(changed, axis=(1, 2, 3), keepdims=True)
        changed = ops.clip((changed - mean) * contrast + mean * brightness, 0, 255)
    return changed


class LayerAugmenter:
    """Applies Keras's augmentation layers one after another. MixUp and CutMix also change labels.

    Before each call, the random generators of the layers are set from seed and step, so that a step always has the
    same batch.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        options = {"seed": 0, "dtype": "float32"}
        self._layers: list[keras.layers.Layer] = []
        if count := augmentation.rand_augment:
            layer = keras.layers.RandAugment(_RANGE, num_ops=count, factor=augmentation.rand_magnitude, **options)
            self._layers.append(layer)
        if share := augmentation.erasing:
            self._layers.append(keras.layers.RandomErasing((share, share), value_range=_RANGE, **options))
        if alpha := augmentation.mixup:
            self._layers.append(keras.layers.MixUp(alpha, **options))
        if alpha := augmentation.cutmix:
            # Keras would read a single number as the end of a range.
            self._layers.append(keras.layers.CutMix((alpha, alpha), **options))

    def __call__(
        self, pixels: np.ndarray, targets: np.ndarray, state: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return changed pixels (b, height, width, 3), 0–255, and changed targets (b, classes), both float32.

        ``state`` is the seed, the step and, if there are several shards, the number of the shard.
        """
        data = {"images": ops.cast(pixels, "float32"), "labels": targets}
        for number, layer in enumerate(self._layers):
            seeds = np.random.SeedSequence([*state, number]).generate_state(2, np.uint32)
            layer.generator.state.assign(seeds)
            data = layer(data, training=True)
        images, labels = (ops.convert_to_numpy(data[name]) for name in ("images", "labels"))
        return np.clip(images, *_RANGE), labels
