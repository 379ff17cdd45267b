"""The second epoch from the cache against image_dataset_from_directory on 640-pixel JPEGs: feeding alone."""

from pathlib import Path

from benchmarks.harness import Benchmark, Run
from benchmarks.photos import write_photos

COUNT, BATCH = 512, 32


def _project(folder: Path) -> Run:
    import numpy as np  # noqa: PLC0415

    from benchmarks.first_pass import open_pixels, pixel_source  # noqa: PLC0415
    from goodbad_pipeline.training.batches import TrainingBatches  # noqa: PLC0415 - starts TensorFlow

    pixels = open_pixels(folder / "pixels", pixel_source(write_photos(folder / "photos" / "a", COUNT))).array
    targets = np.zeros((COUNT, 2), np.float32)
    batches = TrainingBatches(pixels, np.arange(COUNT), targets, batch_size=BATCH, seed=0, augmentation=None)
    return lambda: [batches[step] and None for step in range(batches.steps_per_epoch)]


def _tensorflow(folder: Path) -> Run:
    import keras  # noqa: PLC0415

    from benchmarks.first_pass import SIDE  # noqa: PLC0415

    write_photos(folder / "photos" / "a", COUNT)
    dataset = keras.utils.image_dataset_from_directory(
        folder / "photos", image_size=(SIDE, SIDE), batch_size=BATCH, verbose=False
    )
    return lambda: [None for _ in dataset]


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="feeding",
        compares="second epoch from the cache / image_dataset_from_directory on 640 px JPEGs, feeding alone",
        project=_project,
        reference=_tensorflow,
        target=10.0,
    )
]
