"""The training node with a network of one convolution."""

from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from making import parameters
from tiny_training import SIDE, tiny_network, tiny_pixels

from goodbad_pipeline.efficientnet.scaling import resolve_scale
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.training.nodes import train_model
from goodbad_pipeline.training.checkpoints import CheckpointStore

LIMIT = 10


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


@pytest.fixture
def crammed(monkeypatch, eager) -> list[int]:
    """A device on which no more than ten pictures fit; the sizes of the batches that were tried."""
    real, sizes = keras.Model.train_on_batch, []

    def limited(self, pixels, *rest, **options):
        sizes.append(len(pixels))
        if len(pixels) > LIMIT:
            raise ResourceExhaustedError("failed to allocate memory")
        return real(self, pixels, *rest, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", limited)
    return sizes


def train(folder: Path, **changes: object) -> pd.DataFrame:
    names = [f"{number:064d}" for number in range(48)]
    labels = ["bad" if number % 2 else "good" for number in range(48)]
    split = ["train"] * 40 + ["validation"] * 8
    splits = pd.DataFrame({"image_id": names, "label": labels, "split": split})
    typed = validate_parameters(parameters(training__batch_size=32, training__scratch_epochs=1, **changes))
    network = {**asdict(resolve_scale(phi=-4, resolution=SIDE)), "pretrained": False}
    groups = (typed["model"], typed["training"], typed["images"])
    pixels = Pixels(np.array(names), tiny_pixels())
    store = CheckpointStore(folder)
    return train_model(tiny_network(), pixels, splits, network, *groups, lambda epoch, metrics: None, store)[1]


def test_a_batch_that_does_not_fit_ends_with_one_that_should(crammed: list[int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training.batch_size: 32 pictures a step do not fit into memory; 16 should"):
        train(tmp_path)


def test_on_request_smaller_batches_are_tried(crammed: list[int], tmp_path: Path) -> None:
    history = train(tmp_path, training__auto_batch=True)
    assert crammed == [32, 16, 8, 8, 8, 8, 8]
    assert len(history) == 1
    assert np.isfinite(history["loss"].iloc[0])
