"""Three trainings of the same images: this project's, the usual tutorial's, and a stock network from scratch.

Each runs in its own process. The clock starts once libraries are imported and the table of images is read. Decoding,
building, graph tracing and validation after each epoch count.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.ingested import read_splits
from goodbad_pipeline.images.splits import class_names
from goodbad_pipeline.network_factory import network_scale
from goodbad_pipeline.params import validate_parameters

HEAD_RATE, TUNING_RATE = 1e-3, 1e-4  # the tutorial's two phases
STOCK_RATE = 1e-3  # Keras's default for Adam
PATIENCE = 5
BATCH = 32


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes:
        arm: Key of `ARMS`.
        labels: Parquet file of the labelled images.
        parameters: All parameters of the project, including ``splits.seed``.
        epochs: Epochs of the stock network, or of each phase of the tutorial; the project's are parameters.
    """

    arm: str
    labels: Path
    parameters: dict[str, Any]
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Point:
    """Time and validation accuracy after an epoch.

    Attributes:
        seconds: Wall-clock seconds since the start.
        cpu: CPU seconds since the start.
        val_accuracy: Accuracy on the validation images, 0–1.
    """

    seconds: float
    cpu: float
    val_accuracy: float


class Clock:
    """Records the time and validation accuracy of each epoch."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._start, self._start_cpu = time.perf_counter(), _cpu_seconds()

    def record(self, val_accuracy: float) -> None:
        """Record the accuracy of an epoch."""
        seconds, cpu = time.perf_counter() - self._start, _cpu_seconds() - self._start_cpu
        self.points.append(Point(round(seconds, 2), round(cpu, 2), round(float(val_accuracy), 4)))

    def __call__(self, row: dict[str, Any]) -> None:
        """Record the accuracy of an epoch; called as epoch callback."""
        self.record(row["val_accuracy"])


@dataclass(frozen=True)
class Task:
    """The splits and the validated parameters of a job."""

    splits: pd.DataFrame
    parameters: dict[str, Any]
    epochs: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Class names in the order of the outputs."""
        return class_names(self.splits)

    def part(self, split: str) -> pd.DataFrame:
        """Return the rows of a split."""
        return self.splits[self.splits["split"] == split]

    def y_true(self, split: str) -> np.ndarray:
        """Return the class indices of a split, int64."""
        return self.part(split)["label"].map(self.names.index).to_numpy("int64")


Predict = Callable[[str], np.ndarray]
"""Returns the probabilities of a split's images, shape (n, classes)."""
Arm = Callable[[Task, Clock, Path], Predict]


def train(job: Job) -> dict[str, Any]:
    """Train, and measure the final weights; call once per process.

    Returns:
        curve (fields of each `Point`), and accuracy and roc_auc on validation and test.
    """
    import keras  # noqa: F401, PLC0415 - before the clock starts

    from goodbad_pipeline.evaluation.metrics import validation_metrics  # noqa: PLC0415

    task = Task(read_splits(job.labels, job.parameters), validate_parameters(job.parameters), job.epochs)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        predict = ARMS[job.arm](task, clock, Path(folder))
        results: dict[str, Any] = {"curve": [asdict(point) for point in clock.points]}
        for split in ("validation", "test"):
            metrics = validation_metrics(task.y_true(split), predict(split), 0.0)
            results[split] = {name: round(metrics[f"val_{name}"], 4) for name in ("accuracy", "roc_auc")}
    return results


def _project(task: Task, clock: Clock, folder: Path) -> Predict:
    """Train as `kedro run --pipeline=train` does, including checkpoints."""
    from goodbad_pipeline.pipelines.training.nodes import (  # noqa: PLC0415 - with Keras
        build_model,
        train_model,
    )
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415
    from goodbad_pipeline.training.checkpoints import CheckpointStore  # noqa: PLC0415
    from goodbad_pipeline.training.stopping import StopRequest  # noqa: PLC0415

    model, training, images = (task.parameters[name] for name in ("model", "training", "images"))
    network = _choose_network(task, folder)
    pixels = _pixels(task, network["resolution"], folder)
    untrained = build_model(task.splits, network, model, training, task.parameters["registry"])
    store = CheckpointStore(folder / "checkpoints")
    trained, *_ = train_model(
        untrained, pixels, task.splits, network, model, training, images, clock, store, StopRequest()
    )
    return lambda split: predict(trained, pixels.array, pixels.rows(task.part(split)["image_id"]))


def _tutorial(task: Task, clock: Clock, folder: Path) -> Predict:
    """Train as tutorials do: ImageDataGenerator, the classifier alone, then all layers; keep the best epoch's weights.

    The network and its ImageNet weights are the project's, which scales pixels itself. Batch statistics stay frozen,
    as in Keras's guide to fine-tuning.
    """
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    from goodbad_pipeline.pipelines.training.nodes import build_model  # noqa: PLC0415

    model, training, registry = (task.parameters[name] for name in ("model", "training", "registry"))
    network = _choose_network(task, folder)
    if not network["pretrained"]:
        raise SystemExit(f"model.weights: the tutorial needs pretrained weights, and {network['network']} has none")
    generator = tf.keras.preprocessing.image.ImageDataGenerator
    augmenting = generator(
        rotation_range=20, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.2, horizontal_flip=True
    )

    def flow(split: str, source: Any, *, shuffle: bool) -> Any:
        return source.flow_from_dataframe(
            task.part(split),
            directory=task.parameters["images"].root,
            x_col="path",
            y_col="label",
            classes=task.names,
            target_size=(network["resolution"],) * 2,
            batch_size=BATCH,
            shuffle=shuffle,
            seed=training.seed,
            validate_filenames=False,
        )

    plain = generator()
    trainee = build_model(task.splits, network, model, training, registry)
    data = (flow("train", augmenting, shuffle=True), flow("validation", plain, shuffle=False))
    _set_trainable(trainee, lambda layer: layer.name == "predictions")
    best = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
    options = {"validation_data": data[1], "callbacks": [best]}
    _fit(trainee, clock, data[0], epochs=task.epochs[0], rate=HEAD_RATE, **options)
    _set_trainable(trainee, lambda layer: not isinstance(layer, keras.layers.BatchNormalization))
    _fit(trainee, clock, data[0], epochs=task.epochs[1], rate=TUNING_RATE, **options)
    return lambda split: trainee.predict(flow(split, plain, shuffle=False), verbose=0)


def _stock(task: Task, clock: Clock, folder: Path) -> Predict:
    """Train EfficientNetB0 of keras.applications from scratch, on images in memory.

    Keeps the weights of the last epoch or of the best by validation, whichever is better on the test images. This
    choice favours the stock network.
    """
    import keras  # noqa: PLC0415

    keras.utils.set_random_seed(task.parameters["training"].seed)
    side, count = network_scale(task.parameters["model"]).resolution, len(task.names)
    pixels = _pixels(task, side, folder)

    def images(split: str) -> np.ndarray:
        return pixels.array[pixels.rows(task.part(split)["image_id"])].astype(np.float32)

    def labelled(split: str) -> tuple[np.ndarray, np.ndarray]:
        return images(split), np.eye(count, dtype=np.float32)[task.y_true(split)]

    network = keras.applications.EfficientNetB0(weights=None, input_shape=(side, side, 3), classes=count)
    data = {"batch_size": BATCH, "validation_data": labelled("validation")}
    file = str(folder / "best.weights.h5")
    best = keras.callbacks.ModelCheckpoint(file, "val_accuracy", save_best_only=True, save_weights_only=True)
    _fit(network, clock, *labelled("train"), epochs=task.epochs[0], rate=STOCK_RATE, callbacks=[best], **data)
    last, test = network.get_weights(), labelled("test")
    last_accuracy = network.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
    network.load_weights(file)
    if network.evaluate(*test, verbose=0, return_dict=True)["accuracy"] < last_accuracy:
        network.set_weights(last)
    return lambda split: network.predict(images(split), verbose=0)


def _fit(
    model: Any, clock: Clock, *data: Any, epochs: int, rate: float, callbacks: Sequence[Any], **options: Any
) -> None:
    import keras  # noqa: PLC0415

    recorder = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: clock.record(logs["val_accuracy"]))
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data, epochs=epochs, callbacks=[recorder, *callbacks], verbose=0, **options)


def _set_trainable(model: Any, chosen: Callable[[Any], bool]) -> None:
    for layer in model.layers:
        layer.trainable = chosen(layer)


def _choose_network(task: Task, folder: Path) -> dict[str, Any]:
    from goodbad_pipeline.datasets import PixelCacheDataset  # noqa: PLC0415
    from goodbad_pipeline.pipelines.training.nodes import choose_network  # noqa: PLC0415

    groups = (task.parameters[name] for name in ("model", "training", "registry", "images"))
    return choose_network(task.splits, *groups, PixelCacheDataset(filepath=str(folder / "pixels")).load())


def _pixels(task: Task, resolution: int, folder: Path) -> Any:
    from goodbad_pipeline.datasets import PixelsDataset  # noqa: PLC0415
    from goodbad_pipeline.pipelines.training.nodes import cache_pixels  # noqa: PLC0415

    dataset = PixelsDataset(filepath=str(folder / "pixels"))
    dataset.save(cache_pixels(task.splits, {"resolution": resolution}, task.parameters["images"]))
    return dataset.load()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


ARMS: dict[str, Arm] = {"project": _project, "tutorial": _tutorial, "stock": _stock}
