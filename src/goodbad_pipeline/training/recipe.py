"""Hyperparameters of a training. conf/base/parameters_train.yml explains them under the same names."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random changes to training images. 0 or False disables a change.

    RandAugment is from arXiv 1909.13719, random erasing from 1708.04896, MixUp from 1710.09412, CutMix from 1905.04899.
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
        """True if any of Keras's augmentation layers is used."""
        return bool(self.rand_augment or self.erasing or self.mixup or self.cutmix)

    @property
    def moves(self) -> bool:
        """True if any change moves pixels, so that the image must be resampled."""
        return bool(self.flip or self.rotation or self.translation or self.zoom)


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one training. Learning rates are already scaled to the batch size."""

    seed: int
    batch_size: int
    head_epochs: int
    epochs: int
    scratch_epochs: int
    head_learning_rate: float
    learning_rate: float
    scratch_learning_rate: float
    warmup: float
    weight_decay: float
    label_smoothing: float
    patience: int
    head: str = "epochs"
    interpolation: float | Literal["auto"] = 1.0
    monitor: str = "val_loss"
    keep_epoch: str = "best"
    loss_limit: float = 8.0
    optimizer: str = "adamw"
    schedule: str = "cosine"
    decay_rate: float = 0.97
    decay_epochs: float = 2.4
    ema: float = 0.0
    layer_decay: float = 1.0
    class_weights: bool = False
    freeze_statistics: bool | None = None
    data_shards: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    jit_compile: bool = False
