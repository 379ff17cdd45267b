"""RandAugment, erasing, MixUp and CutMix: Keras's own layers, made to depend on (seed, step) alone."""

import keras
import numpy as np

from goodbad_pipeline.training.augmentation import Augmentation

_RANGE = (0.0, 255.0)


class LayerAugmenter:
    """Applies those of the layers that are asked for, one after another; MixUp and CutMix change labels too.

    The layers draw from generators that count their calls. Here each call starts from a state made of (seed, step), so
    that a batch is the same whenever it is asked for.

    Args:
        augmentation: Which, and how much.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        options = {"seed": 0, "dtype": "float32"}
        self._layers: list[keras.layers.Layer] = []
        if augmentation.rand_augment:
            self._layers.append(
                keras.layers.RandAugment(
                    value_range=_RANGE,
                    num_ops=augmentation.rand_augment,
                    factor=augmentation.rand_magnitude,
                    **options,
                )
            )
        if augmentation.erasing:
            share = (augmentation.erasing, augmentation.erasing)
            self._layers.append(keras.layers.RandomErasing(factor=share, value_range=_RANGE, **options))
        if augmentation.mixup:
            self._layers.append(keras.layers.MixUp(alpha=augmentation.mixup, **options))
        if augmentation.cutmix:
            alpha = (augmentation.cutmix, augmentation.cutmix)  # a number alone would be the end of a range
            self._layers.append(keras.layers.CutMix(factor=alpha, **options))

    def __call__(
        self, pixels: np.ndarray, targets: np.ndarray, state: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change a batch.

        Args:
            pixels: uint8 or float32, shape (b, height, width, 3), 0–255.
            targets: float32, shape (b, classes), rows summing to 1.
            state: Seed, step and, where pictures are dealt into shares, the share.

        Returns:
            Both as float32, of the same shapes and ranges.
        """
        data = {"images": keras.ops.cast(pixels, "float32"), "labels": targets}
        for number, layer in enumerate(self._layers):
            seeds = np.random.SeedSequence([*state, number]).generate_state(2, np.uint32)
            layer.generator.state.assign(seeds)
            data = layer(data, training=True)
        images, labels = (keras.ops.convert_to_numpy(data[name]) for name in ("images", "labels"))
        return np.clip(images, *_RANGE), labels
