"""Augmented batches from the cache against Keras's ImageDataGenerator with the same augmentation, both from memory."""

from pathlib import Path

from benchmarks.harness import Benchmark, Run

COUNT, SIDE, BATCH = 256, 128, 32


def _project(_: Path) -> Run:
    import numpy as np  # noqa: PLC0415

    from benchmarks.training_arms import AUGMENTATION, images, one_hot  # noqa: PLC0415 - starts TensorFlow
    from goodbad_pipeline.training.batches import TrainingBatches  # noqa: PLC0415

    pixels, y_true = images(COUNT, SIDE)
    batches = TrainingBatches(
        pixels, np.arange(COUNT), one_hot(y_true), batch_size=BATCH, seed=0, augmentation=AUGMENTATION
    )
    return lambda: [batches[step] and None for step in range(batches.steps_per_epoch)]


def _generator(_: Path) -> Run:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: PLC0415 - Keras 3 has no public name for it

    from benchmarks.training_arms import AUGMENTATION, images, one_hot  # noqa: PLC0415

    pixels, y_true = images(COUNT, SIDE)
    generator = ImageDataGenerator(
        rotation_range=AUGMENTATION.rotation,
        width_shift_range=AUGMENTATION.translation,
        height_shift_range=AUGMENTATION.translation,
        zoom_range=AUGMENTATION.zoom,
        brightness_range=(1 - AUGMENTATION.brightness, 1 + AUGMENTATION.brightness),
        horizontal_flip=True,
    )
    batches = generator.flow(pixels, one_hot(y_true), batch_size=BATCH, seed=0)
    return lambda: [batches[step] and None for step in range(len(batches))]


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="augmentation",
        compares="augmented batches / ImageDataGenerator with the same changes (128 px)",
        project=_project,
        reference=_generator,
        target=10.0,
    )
]
