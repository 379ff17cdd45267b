"""Random changes of training pictures: one affine map and one colour map per picture, from a seed alone.

They are drawn in one place and made in one of two: by OpenCV on the host, where bytes stay bytes, or by Keras on the
GPU that is to learn from them.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

_VALUES = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Augmentation:
    """How much training pictures vary; 0 or False switches one off.

    Attributes:
        flip: Mirror half of the pictures left to right.
        rotation: Largest turn in degrees, to either side.
        translation: Largest shift as a fraction of the side, in either direction.
        zoom: Largest relative change of size, either way.
        brightness: Largest relative change of brightness, either way.
        contrast: Largest relative change of contrast about the picture's mean, either way.
        rand_augment: Operations a batch drawn by RandAugment (arXiv 1909.13719).
        rand_magnitude: How strong they are, 0–1.
        erasing: Share of the pictures that lose a rectangle (arXiv 1708.04896).
        mixup: α of the Beta distribution that blends pairs of pictures and their labels (arXiv 1710.09412).
        cutmix: α of the one that pastes a rectangle of another picture (arXiv 1905.04899).
    """

    flip: bool = True
    rotation: float = 0.0
    translation: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    rand_augment: int = 0
    rand_magnitude: float = 0.3
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def by_layers(self) -> bool:
        """Whether any of Keras's augmentation layers is asked for."""
        return bool(self.rand_augment or self.erasing or self.mixup or self.cutmix)

    @property
    def moves(self) -> bool:
        """Whether any change needs resampling."""
        return bool(self.flip or self.rotation or self.translation or self.zoom)


@dataclass(frozen=True)
class Changes:
    """What becomes of a batch of n pictures.

    Attributes:
        maps: Affine maps from output to input coordinates (x, y), the first two rows: float32, shape (n, 2, 3). None
            where no picture moves.
        brightness: Factor of each picture's mean: float32, shape (n,). None, like contrast, where no colour changes.
        contrast: Factor of differences from that mean: float32, shape (n,).
    """

    maps: np.ndarray | None
    brightness: np.ndarray | None
    contrast: np.ndarray | None


def draw(count: int, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator) -> Changes:
    """Draw the changes of a batch.

    Args:
        count: Number of pictures.
        size: Their height and width.
        augmentation: Ranges to draw from, uniformly.
        rng: The only source of randomness.
    """
    maps = _affine_maps(count, size, augmentation, rng) if augmentation.moves else None
    if not (augmentation.brightness or augmentation.contrast):
        return Changes(maps, None, None)
    brightness, contrast = (
        (1 + rng.uniform(-1, 1, count) * most).astype(np.float32)
        for most in (augmentation.brightness, augmentation.contrast)
    )
    return Changes(maps, brightness, contrast)


def _affine_maps(count: int, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Turn, scale, mirror and shift about the picture's centre."""
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
    """Change a batch on the host.

    Args:
        pixels: uint8, shape (n, height, width, 3), RGB.
        changes: Those of each picture.

    Returns:
        uint8 of the same shape: to the device go the same bytes as of pictures that nothing changes.
    """
    import cv2  # noqa: PLC0415 - the ranges above are wanted without it
    from joblib import cpu_count  # noqa: PLC0415 - those that this process may use

    cv2.setNumThreads(1)  # its threads share single pictures, which costs more; ours take whole ones
    changed = np.empty(pixels.shape, np.uint8)
    workers = min(len(pixels), cpu_count())
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda first: _change(pixels, changed, changes, slice(first, None, workers)), range(workers)))
    return changed


def _change(pixels: np.ndarray, changed: np.ndarray, changes: Changes, part: slice) -> None:
    """Write some of the pictures into ``changed``."""
    import cv2  # noqa: PLC0415 - the ranges above are wanted without it

    height, width = pixels.shape[1:3]
    options = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    for place in range(len(pixels))[part]:
        picture = changed[place]
        if changes.maps is None:
            picture[:] = pixels[place]
        else:
            cv2.warpAffine(pixels[place], changes.maps[place], (width, height), dst=picture, **options)
        if changes.brightness is not None and changes.contrast is not None:
            table = _colour_table(np.mean(cv2.mean(picture)[:3]), changes.brightness[place], changes.contrast[place])
            cv2.LUT(picture, table, dst=picture)


def _colour_table(mean: float, brightness: float, contrast: float) -> np.ndarray:
    """What becomes of each value of a picture with that mean: uint8, shape (256,)."""
    values = _VALUES * contrast + mean * (brightness - contrast)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def augment_on_device(pixels: np.ndarray, changes: Changes) -> Any:
    """Change a batch where Keras computes; it stays there.

    Args:
        pixels: uint8, shape (n, height, width, 3), RGB.
        changes: Those of each picture.

    Returns:
        The backend's tensor, float32 of the same shape, 0–255: what ``augment`` gives, before rounding.
    """
    from keras import ops  # noqa: PLC0415 - the ranges above are wanted without it

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
