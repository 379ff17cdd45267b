"""Train on one device and on two of this process, made of this machine's CPU: ``python mirroring.py FOLDER``.

Prints, as JSON, by how much weights and validation differ from those of one device at most.
"""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
from tiny_training import checkpointing, part, tiny_network, tiny_pixels, tiny_recipe

from goodbad_pipeline.training import distributed
from goodbad_pipeline.training.distributed import SINGLE_PROCESS
from goodbad_pipeline.training.train import fit_model


class CutError(Exception):
    """The interruption of a training."""


def cut(row: dict) -> None:
    if row["epoch"] == 3:
        raise CutError


def train(
    folder: Path, *, pretrained: bool, dropout: float, strategy=SINGLE_PROCESS, epoch_callback=None, **recipe: object
) -> tuple[list, list]:
    pixels, model = tiny_pixels(), tiny_network(bias=False, dropout=dropout)
    history = fit_model(
        model,
        part(pixels, 0, 41),
        part(pixels, 41, 48),
        tiny_recipe(scratch_epochs=4, class_weights=True, **recipe),
        pretrained=pretrained,
        checkpoints=checkpointing(folder),
        strategy=strategy,
        epoch_callback=epoch_callback,
    ).history
    return model.get_weights(), history["val_loss"].tolist()


def two_devices() -> distributed.SingleProcess:
    if keras.backend.backend() == "jax":
        return distributed.choose_strategy(2)
    return distributed.MirroredDataParallel(["CPU:0", "CPU:1"])


def difference(one: tuple[list, list], other: tuple[list, list]) -> list[float]:
    pairs = (zip(*both, strict=True) for both in zip(one, other, strict=True))
    return [max(float(np.abs(a - b).max()) for a, b in pair) for pair in pairs]


def main(folder: Path) -> None:
    found = {}
    dropout = 0.3 if keras.backend.backend() == "jax" else 0.0
    for name, how in (("scratch", {"pretrained": False, "ema": 0.5}), ("pretrained", {"pretrained": True})):
        alone = train(folder / f"{name}_one", dropout=dropout, **how)
        how["strategy"] = two_devices()
        found[name] = difference(train(folder / f"{name}_two", dropout=dropout, **how), alone)
        whole = train(folder / f"{name}_whole", dropout=0.3, **how)
        try:
            train(folder / f"{name}_cut", dropout=0.3, epoch_callback=cut, **how)
        except CutError:
            resumed = train(folder / f"{name}_cut", dropout=0.3, **how)
        found[f"{name}_resumed"] = difference(resumed, whole)
    sys.stdout.write(json.dumps(found) + "\n")


if os.environ.get("KERAS_BACKEND") != "jax":
    import tensorflow as tf

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
main(Path(sys.argv[1]))
