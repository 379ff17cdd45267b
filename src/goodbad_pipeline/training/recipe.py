"""The recipe as plain values."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Augmentation:
    """How much training images vary; 0 or False switches one off.

    Attributes:
        flip: Mirror half of the images left to right.
        rotation: Largest turn in degrees, to either side.
        translation: Largest shift as a fraction of the side, in either direction.
        zoom: Largest relative change of size, either way.
        brightness: Largest relative change of brightness, either way.
        contrast: Largest relative change of contrast about the image's mean, either way.
        rand_augment: Operations a batch drawn by RandAugment (arXiv 1909.13719).
        rand_magnitude: How strong they are, 0–1.
        erasing: Share of the images that lose a rectangle (arXiv 1708.04896).
        mixup: α of the Beta distribution that blends pairs of images and their labels (arXiv 1710.09412).
        cutmix: α of the one that pastes a rectangle of another image (arXiv 1905.04899).
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
class Recipe:
    """How a network is trained; each field is the parameter ``training.<name>``.

    Attributes:
        seed: Of shuffling, augmentation, dropout and new weights.
        batch_size: Images per step.
        head_epochs: Epochs of the classifier alone on frozen features; 0 to skip. Needs pretrained weights.
        epochs: Epochs of all layers after that.
        scratch_epochs: Epochs of all layers where no weights are given.
        head_learning_rate: Peak rate of the first phase.
        learning_rate: Peak rate of the second.
        scratch_learning_rate: Peak rate where no weights are given.
        warmup: Fraction of a phase's steps over which the rate rises from 0.
        weight_decay: On kernels only (not on biases and batch normalisation).
        label_smoothing: Share of each target that is spread over all classes, 0–1.
        optimizer: adamw, sgd or rmsprop.
        schedule: What the rate does after its rise: cosine (falls to 0) or exponential.
        decay_rate: What the exponential schedule multiplies the rate by,
        decay_epochs: every so many epochs.
        ema: Half-life, in epochs, of the moving average of weights that is validated and kept; 0 for the weights
            themselves. The classifier alone, which is fitted in seconds, goes without.
        layer_decay: Factor of the rate from each block to the one before it; 1 for one rate.
        class_weights: Whether each class weighs alike in the loss, however many images it has.
        freeze_statistics: Whether moving batch statistics stay as they are; None: where the network is pretrained.
        patience: Epochs without a better validation after which a phase ends, not before half of it.
        monitor: Measure of validation that says what is better.
        keep_epoch: Whose weights a phase ends with: best, or last, where no lack of patience ended it earlier.
        loss_limit: Nats above guessing beyond which the loss of a step counts as exploded.
        shares: Into how many shares the images are dealt for several processes; 1 for one order of all.
        augmentation: Random changes of the images.
        jit_compile: Whether XLA compiles the step.
    """

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
    shares: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    jit_compile: bool = False
