"""A tiny training with dropout, batch statistics, optimizer slots and two phases, and a hash of its results."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
from factories import make_image

from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.progress import EpochCallback
from goodbad_pipeline.training.recipe import Augmentation, Recipe
from goodbad_pipeline.training.saving import Checkpointing
from goodbad_pipeline.training.stopping import StopRequest
from goodbad_pipeline.training.train import fit_model

SIDE = 32
CONFIG = {"parameters": {"training": {"seed": 0}}}


def tiny_pixels(count: int = 48) -> np.ndarray:
    return np.stack([np.asarray(make_image(n, bright=bool(n % 2), side=SIDE)) for n in range(count)])


def part(pixels: np.ndarray, start: int, stop: int) -> LabelledPixels:
    rows = np.arange(start, stop)
    return LabelledPixels(pixels, rows, rows % 2, 2, rows)


def tiny_recipe(**changes: object) -> Recipe:
    values = {
        "seed": 0,
        "batch_size": 16,
        "head_epochs": 2,
        "epochs": 2,
        "scratch_epochs": 6,
        "head_learning_rate": 1e-2,
        "learning_rate": 1e-4,
        "scratch_learning_rate": 5e-3,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "label_smoothing": 0.0,
        "patience": 10,
        "augmentation": Augmentation(flip=True),
    }
    return Recipe(**{**values, **changes})


def tiny_network(side: int = SIDE, *, bias: bool = True, dropout: float = 0.3) -> keras.Model:
    """Return a network of one convolution, with the layer names that training requires."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = keras.layers.Conv2D(8, 5, strides=4, use_bias=bias, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.5, name="stem_bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(keras.layers.ReLU(name="top_activation")(x))
    x = keras.layers.Dropout(dropout, name="top_dropout", seed=0)(x)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="predictions")(x))


def checkpointing(folder: Path, **changes: object) -> Checkpointing:
    return Checkpointing(**{"store": CheckpointStore(folder), "config": CONFIG, "minutes": 60, "keep": 2, **changes})


def tiny_fit(
    folder: Path,
    *,
    pretrained: bool = True,
    checkpoints: dict | None = None,
    epoch_callback: EpochCallback | None = None,
    stop: StopRequest | None = None,
    **recipe: object,
) -> str:
    """Train with checkpoints in ``folder``; return a hash of the final variables and the history."""
    pixels, model = tiny_pixels(), tiny_network()
    changes = {"scratch_epochs": 4, **recipe}
    history = fit_model(
        model,
        part(pixels, 0, 40),
        part(pixels, 40, 48),
        tiny_recipe(**changes),
        pretrained=pretrained,
        epoch_callback=epoch_callback,
        stop=stop,
        checkpoints=checkpointing(folder, **(checkpoints or {})),
    ).history
    digest = hashlib.sha256()
    for variable in [*model.variables, *model.optimizer.variables]:
        digest.update(np.asarray(variable).tobytes())
    digest.update(json.dumps(history.drop(columns="seconds").to_dict("list")).encode())
    return digest.hexdigest()
