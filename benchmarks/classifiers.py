"""Three ways to a classifier of the same images: this project's, the usual tutorial's, a stock network from scratch.

Each runs in a process of its own. Its clock starts when libraries are imported and the table of images is there; so
decoding, building and graph tracing count, and so does validation after each epoch.
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

HEAD_RATE, TUNING_RATE = 1e-3, 1e-4  # of the tutorial's two phases
STOCK_RATE = 1e-3  # Adam's own
PATIENCE = 5
BATCH = 32


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes:
        arm: One of `ARMS`.
        labels: Parquet file of the labelled images.
        parameters: All parameters of the project, its ``splits.seed`` included.
        epochs: Of each phase of the tutorial, or of the stock network; ours goes by the parameters.
    """

    arm: str
    labels: Path
    parameters: dict[str, Any]
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Point:
    """What there is after an epoch.

    Attributes:
        seconds: Since the start, by the clock.
        cpu: The same in seconds of processors.
        val_accuracy: Share of the validation images that are named rightly.
    """

    seconds: float
    cpu: float
    val_accuracy: float


class Clock:
    """Notes when which accuracy was there."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._began, self._cpu = time.perf_counter(), _processor_seconds()

    def note(self, val_accuracy: float) -> None:
        """Note the accuracy after an epoch."""
        seconds, cpu = time.perf_counter() - self._began, _processor_seconds() - self._cpu
        self.points.append(Point(round(seconds, 2), round(cpu, 2), round(float(val_accuracy), 4)))

    def __call__(self, row: dict[str, Any]) -> None:
        """Note the accuracy of an epoch, as an epoch callback."""
        self.note(row["val_accuracy"])


@dataclass(frozen=True)
class Task:
    """A job, unpacked.

    Attributes:
        splits: The labelled images with their splits.
        groups: Typed parameters.
        epochs: See :class:`Job`.
    """

    splits: pd.DataFrame
    groups: dict[str, Any]
    epochs: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Names of the classes, in the order of the outputs."""
        return class_names(self.splits)

    def part(self, split: str) -> pd.DataFrame:
        """The images of a split."""
        return self.splits[self.splits["split"] == split]

    def y_true(self, split: str) -> np.ndarray:
        """Their class numbers, int64."""
        return self.part(split)["label"].map(self.names.index).to_numpy("int64")


Answer = Callable[[str], np.ndarray]
"""From the name of a split to the probabilities of its images, (n, classes)."""
Arm = Callable[[Task, Clock, Path], Answer]


def train(job: Job) -> dict[str, Any]:
    """Train and measure; to be called once in a process.

    Returns:
        curve (a list of points), and accuracy and roc_auc of validation and test by the weights it ends with.
    """
    import keras  # noqa: F401, PLC0415 - before the clock starts

    from goodbad_pipeline.evaluation.metrics import validation_metrics  # noqa: PLC0415

    task = Task(read_splits(job.labels, job.parameters), validate_parameters(job.parameters), job.epochs)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        answer = ARMS[job.arm](task, clock, Path(folder))
        found: dict[str, Any] = {"curve": [asdict(point) for point in clock.points]}
        for split in ("validation", "test"):
            measures = validation_metrics(task.y_true(split), answer(split), 0.0)
            found[split] = {name: round(measures[f"val_{name}"], 4) for name in ("accuracy", "roc_auc")}
    return found


def _ours(task: Task, clock: Clock, folder: Path) -> Answer:
    """What `kedro run --pipeline=train` does up to the trained model, checkpoints included."""
    from goodbad_pipeline.pipelines.training.nodes import (  # noqa: PLC0415 - with Keras
        build_model,
        choose_network,
        train_model,
    )
    from goodbad_pipeline.training.batches import predict  # noqa: PLC0415
    from goodbad_pipeline.training.checkpoints import CheckpointStore  # noqa: PLC0415
    from goodbad_pipeline.training.stopping import StopRequest  # noqa: PLC0415

    model, training, images = (task.groups[name] for name in ("model", "training", "images"))
    network = choose_network(task.splits, model, training, task.groups["registry"])
    pixels = _pixels(task, network["resolution"], folder)
    untrained = build_model(task.splits, network, model, training, task.groups["registry"])
    store = CheckpointStore(folder / "checkpoints")
    trained, _ = train_model(
        untrained, pixels, task.splits, network, model, training, images, clock, store, StopRequest()
    )
    return lambda split: predict(trained, pixels.array, pixels.rows(task.part(split)["image_id"]))


def _tutorial(task: Task, clock: Clock, _: Path) -> Answer:
    """What tutorials do: ImageDataGenerator, the classifier alone, then all layers; the best epoch's weights are kept.

    The network is ours at its start, with ImageNet weights. Batch statistics stay frozen, as Keras's guide to
    fine-tuning has it, and the network scales pixels itself.
    """
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    from goodbad_pipeline.pipelines.training.nodes import build_model, choose_network  # noqa: PLC0415

    model, training, registry = (task.groups[name] for name in ("model", "training", "registry"))
    network = choose_network(task.splits, model, training, registry)
    if not network["pretrained"]:
        raise SystemExit(f"model.weights: tutorials start from pretrained weights, {network['network']} has none")
    generator = tf.keras.preprocessing.image.ImageDataGenerator
    changing = generator(
        rotation_range=20, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.2, horizontal_flip=True
    )

    def flow(split: str, source: Any, *, shuffle: bool) -> Any:
        return source.flow_from_dataframe(
            task.part(split),
            directory=task.groups["images"].root,
            x_col="path",
            y_col="label",
            classes=task.names,
            target_size=(network["resolution"],) * 2,
            batch_size=BATCH,
            shuffle=shuffle,
            seed=training.seed,
            validate_filenames=False,
        )

    still = generator()
    trainee = build_model(task.splits, network, model, training, registry)
    data = (flow("train", changing, shuffle=True), flow("validation", still, shuffle=False))
    _set_trainable(trainee, lambda layer: layer.name == "predictions")
    best = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
    options = {"validation_data": data[1], "callbacks": [best]}
    _fit(trainee, clock, data[0], epochs=task.epochs[0], rate=HEAD_RATE, **options)
    _set_trainable(trainee, lambda layer: not isinstance(layer, keras.layers.BatchNormalization))
    _fit(trainee, clock, data[0], epochs=task.epochs[1], rate=TUNING_RATE, **options)
    return lambda split: trainee.predict(flow(split, still, shuffle=False), verbose=0)


def _stock(task: Task, clock: Clock, folder: Path) -> Answer:
    """EfficientNetB0 of keras.applications without weights, fitted to images in memory.

    Its weights are the last ones or those of its best epoch by validation, whichever the test finds better: the
    choice is in its favour.
    """
    import keras  # noqa: PLC0415

    keras.utils.set_random_seed(task.groups["training"].seed)
    side, count = network_scale(task.groups["model"]).resolution, len(task.names)
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
    of_last = network.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
    network.load_weights(file)
    if network.evaluate(*test, verbose=0, return_dict=True)["accuracy"] < of_last:
        network.set_weights(last)
    return lambda split: network.predict(images(split), verbose=0)


def _fit(
    model: Any, clock: Clock, *data: Any, epochs: int, rate: float, callbacks: Sequence[Any], **options: Any
) -> None:
    import keras  # noqa: PLC0415

    noting = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: clock.note(logs["val_accuracy"]))
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data, epochs=epochs, callbacks=[noting, *callbacks], verbose=0, **options)


def _set_trainable(model: Any, chosen: Callable[[Any], bool]) -> None:
    for layer in model.layers:
        layer.trainable = chosen(layer)


def _pixels(task: Task, resolution: int, folder: Path) -> Any:
    from goodbad_pipeline.datasets import PixelsDataset  # noqa: PLC0415
    from goodbad_pipeline.pipelines.training.nodes import cache_pixels  # noqa: PLC0415

    dataset = PixelsDataset(filepath=str(folder / "pixels"))
    dataset.save(cache_pixels(task.splits, {"resolution": resolution}, task.groups["images"]))
    return dataset.load()


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


ARMS: dict[str, Arm] = {"ours": _ours, "tutorial": _tutorial, "stock": _stock}
