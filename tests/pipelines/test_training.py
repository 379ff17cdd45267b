"""The training node with a network of one convolution."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from zipfile import ZipFile

import keras
import numpy as np
import pandas as pd
import pytest
from factories import parameters
from tiny_training import SIDE, tiny_network, tiny_pixels

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.exporting.converting import fold_normalisation
from goodbad_pipeline.images.pixels import Pixels
from goodbad_pipeline.networks.scaling import resolve_scale
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.training import nodes
from goodbad_pipeline.pipelines.training.nodes import train_model
from goodbad_pipeline.serving.archive import load_archive
from goodbad_pipeline.training.batches import predict
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.stopping import StopRequest

LIMIT = 10


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


@pytest.fixture
def crammed(monkeypatch, eager) -> list[int]:
    """A device on which no more than ten images fit; the sizes of the batches that were tried."""
    real, sizes = keras.Model.train_on_batch, []

    def limited(self, pixels, *rest, **options):
        sizes.append(len(pixels))
        if len(pixels) > LIMIT:
            raise ResourceExhaustedError("failed to allocate memory")
        return real(self, pixels, *rest, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", limited)
    return sizes


def train(folder: Path, **changes: object) -> pd.DataFrame:
    return train_network(tiny_network(), folder, **changes)[1]


def train_network(
    network: keras.Model, folder: Path, *, pretrained: bool = False, epoch_log=lambda row: None, **changes: object
) -> tuple[keras.Model, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    names = [f"{number:064d}" for number in range(48)]
    labels = ["bad" if number % 2 else "good" for number in range(48)]
    split = ["train"] * 40 + ["validation"] * 8
    splits = pd.DataFrame({"image_id": names, "label": labels, "split": split, "group": names, "path": names})
    typed = validate_parameters(parameters(training__batch_size=32, training__scratch_epochs=1, **changes))
    scale = {**asdict(resolve_scale(phi=-4, resolution=SIDE)), "pretrained": pretrained}
    groups = (typed["model"], typed["training"], typed["images"])
    pixels = Pixels(np.array(names), tiny_pixels(), typed["images"].transform(SIDE))
    store = CheckpointStore(folder)
    return train_model(network, pixels, splits, scale, *groups, epoch_log, store, StopRequest())


def test_a_batch_that_does_not_fit_is_an_error_that_names_one_that_fits(crammed: list[int], tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"training.batch_size: 32 images per step do not fit into memory. A batch size of 16 should fit",
    ):
        train(tmp_path)


def test_auto_batch_tries_smaller_batches(crammed: list[int], tmp_path: Path) -> None:
    history = train(tmp_path, training__auto_batch=True)
    assert crammed == [32, 16, 8, 8, 8, 8, 8]
    assert len(history) == 1
    assert np.isfinite(history["loss"].iloc[0])


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_refit_trains_on_train_and_validation_with_what_was_chosen(
    pretrained: bool, eager: None, tmp_path: Path, monkeypatch
) -> None:
    calls, heard = [], []
    real = nodes.train.fit_model

    def recorded(model, train_images, validation, recipe, **options):
        calls.append((train_images.rows.tolist(), recipe, model.get_weights()))
        return real(model, train_images, validation, recipe, **options)

    monkeypatch.setattr(nodes.train, "fit_model", recorded)
    changes = {"pretrained": pretrained, "training__epochs": 2}
    once = train_network(tiny_network(), tmp_path / "once", epoch_log=heard.append, **changes)
    again = train_network(tiny_network(), tmp_path / "again", epoch_log=heard.append, training__refit=True, **changes)
    rows, recipes, starts = zip(*calls, strict=True)
    assert rows == (list(range(40)), list(range(40)), list(range(48)))
    for one, other in zip(starts[1], starts[2], strict=True):
        np.testing.assert_array_equal(one, other)
    chosen = once[2].loc[once[2]["chosen"], "factor"].tolist()
    assert (recipes[2].interpolation, recipes[2].keep_epoch) == (*(chosen or [1.0]), "last")
    assert len(heard) == 2 * len(once[1])
    pd.testing.assert_frame_equal(once[1].drop(columns="seconds"), again[1].drop(columns="seconds"))
    pd.testing.assert_frame_equal(once[2], again[2])
    pd.testing.assert_frame_equal(once[3], again[3])
    assert not np.array_equal(once[0].get_weights()[-2], again[0].get_weights()[-2])


def test_a_refit_repeats_the_epochs_up_to_the_kept_one() -> None:
    typed = validate_parameters(parameters(training__epochs=5, training__patience=2))
    phases = ["head", *["all layers"] * 4]
    history = pd.DataFrame({"epoch": range(1, 6), "phase": phases, "kept": [False, False, False, True, False]})
    candidates = pd.DataFrame({"factor": [0.5, 1.0], "chosen": [True, False]})
    fixed = nodes._refit_parameters(typed["training"], history, candidates)
    assert (fixed.epochs, fixed.interpolation, fixed.keep_epoch, fixed.patience) == (3, 0.5, "last", 3)


def test_a_model_trained_in_half_precision_is_stored_in_float32(
    set_policy: Callable[[str], None], eager: None, tmp_path: Path
) -> None:
    """The archive and what is exported from it answer alike, and as the trained network does but for its rounding."""
    set_policy("mixed_float16")
    trainee = tiny_network()
    model, *_ = train_network(trainee, tmp_path / "checkpoints", training__precision="mixed_float16")
    assert trainee.get_layer("stem_conv").compute_dtype == "float16"
    assert all(map(np.array_equal, model.get_weights(), trainee.get_weights()))

    model.save(tmp_path / "model.keras")
    with ZipFile(tmp_path / "model.keras") as archive:
        assert b"float16" not in archive.read("config.json")
    loaded, pixels, rows = load_archive(tmp_path / "model.keras"), tiny_pixels(), np.arange(48)
    answers = predict(loaded, pixels, rows)
    assert answers.dtype == np.float32
    exported = predict(fold_normalisation(loaded), pixels, rows)
    limit = parameters()["export"]["tolerance"]
    assert np.abs(exported - answers).max() <= limit / 10
    apart = np.abs(predict(trainee, pixels, rows) - answers).max()
    assert limit / 10 < apart < 0.01, apart
