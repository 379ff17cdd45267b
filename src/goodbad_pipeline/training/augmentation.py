"""Random changes of training pictures: one affine map and one colour map per picture, from a seed alone."""

from dataclasses import dataclass

import numpy as np


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


def augment(pixels: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Change a batch at random.

    Args:
        pixels: uint8, shape (n, height, width, 3), RGB.
        augmentation: Ranges to draw from, uniformly.
        rng: The only source of randomness.

    Returns:
        float32 of the same shape, 0–255.
    """
    changed = pixels.astype(np.float32)
    if augmentation.moves:
        changed = _move(changed, _affine_maps(len(pixels), pixels.shape[1:3], augmentation, rng))
    if augmentation.brightness or augmentation.contrast:
        changed = _recolour(changed, augmentation, rng)
    return changed


def _affine_maps(count: int, size: tuple[int, ...], augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Eight numbers a picture that take output to input coordinates (x, y), about the picture's centre: (n, 8)."""
    height, width = size
    angle = np.deg2rad(rng.uniform(-1, 1, count) * augmentation.rotation)
    scale = 1 / (1 + rng.uniform(-1, 1, count) * augmentation.zoom)
    mirror = np.where(rng.uniform(size=count) < 0.5 * augmentation.flip, -1.0, 1.0)
    shift_x = rng.uniform(-1, 1, count) * augmentation.translation * width
    shift_y = rng.uniform(-1, 1, count) * augmentation.translation * height
    a, b = mirror * scale * np.cos(angle), -mirror * scale * np.sin(angle)
    c, d = scale * np.sin(angle), scale * np.cos(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    zero = np.zeros(count)
    maps = [a, b, x + shift_x - a * x - b * y, c, d, y + shift_y - c * x - d * y, zero, zero]
    return np.stack(maps, axis=1).astype(np.float32)


def _move(pixels: np.ndarray, maps: np.ndarray) -> np.ndarray:
    import keras  # noqa: PLC0415 - the ranges above are wanted without it

    moved = keras.ops.image.affine_transform(
        pixels, maps, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
    )
    return keras.ops.convert_to_numpy(moved)


def _recolour(pixels: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    shape = (len(pixels), 1, 1, 1)
    brightness = (1 + rng.uniform(-1, 1, shape) * augmentation.brightness).astype(np.float32)
    contrast = (1 + rng.uniform(-1, 1, shape) * augmentation.contrast).astype(np.float32)
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    changed = pixels * contrast  # (pixels - mean) · contrast + mean · brightness, with one array in place of five
    changed += mean * (brightness - contrast)
    return np.clip(changed, 0, 255, out=changed)
