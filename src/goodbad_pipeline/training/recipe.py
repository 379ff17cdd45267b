"""The recipe as plain values."""

from dataclasses import dataclass, field

from goodbad_pipeline.training.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; each field is the parameter ``training.<name>``.

    Attributes:
        seed: Of shuffling, augmentation, dropout and new weights.
        batch_size: Pictures per step.
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
        class_weights: Whether each class weighs alike in the loss, however many pictures it has.
        freeze_statistics: Whether moving batch statistics stay as they are; None: where the network is pretrained.
        patience: Epochs without a better validation after which a phase ends, not before half of it.
        monitor: Measure of validation that says what is better.
        keep_epoch: Whose weights a phase ends with: best, or last, where no lack of patience ended it earlier.
        loss_limit: Nats above guessing beyond which the loss of a step counts as exploded.
        shares: Into how many shares the pictures are dealt for several processes; 1 for one order of all.
        augmentation: Random changes of the pictures.
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
