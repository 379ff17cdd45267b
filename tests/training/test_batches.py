import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from factories import encoded, make_image

from goodbad_pipeline.images.pixel_store import open_pixels
from goodbad_pipeline.images.pixels import PixelSource, Transform
from goodbad_pipeline.training import batches as training_batches
from goodbad_pipeline.training.batches import TrainingBatches, balanced_weights, predict
from goodbad_pipeline.training.recipe import Augmentation


def batches(count: int = 10, size: int = 4, seed: int = 0, augmentation: Augmentation | None = None) -> TrainingBatches:
    pixels = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    rows = np.arange(count) * 2
    targets = np.eye(count, dtype=np.float32)
    return TrainingBatches(pixels, rows, targets, batch_size=size, seed=seed, augmentation=augmentation)


def test_batches_are_full_and_a_shuffle_has_every_image_once() -> None:
    stream = batches()
    assert stream.steps_per_epoch == 3
    parts = [stream[step] for step in range(5)]
    assert [len(pixels) for pixels, _ in parts] == [4] * 5
    read = np.concatenate([pixels[:, 0, 0, 0] for pixels, _ in parts])
    targets = np.concatenate([target.argmax(axis=1) for _, target in parts])
    np.testing.assert_array_equal(read, targets * 2)
    for shuffle in (read[:10], read[10:]):
        assert sorted(shuffle) == list(range(0, 20, 2))
    assert not np.array_equal(read[:10], read[10:])


def test_fewer_images_than_a_batch_are_repeated() -> None:
    pixels, _ = batches(count=3, size=8)[0]
    assert sorted(np.unique(pixels[:, 0, 0, 0], return_counts=True)[1]) == [2, 3, 3]


def test_a_step_always_has_the_same_batch() -> None:
    everything = Augmentation(True, 10, 0.1, 0.1, 0.1, 0.1)
    one, other = batches(augmentation=everything), batches(augmentation=everything)
    np.testing.assert_array_equal(one[5][0], [other[7], other[0], other[5]][2][0])
    assert not np.array_equal(batches(seed=1)[0][1], batches(seed=2)[0][1])


def test_predict_keeps_the_order_of_images() -> None:
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D()])
    stream = batches()
    outputs = predict(model, stream.pixels, stream.rows, batch_size=3)
    np.testing.assert_allclose(outputs[:, 0], stream.rows, rtol=1e-6)


def test_predict_reads_each_image_once() -> None:
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D()])
    stream, read = batches(), []

    class Streamed:
        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            read.extend(rows)
            return stream.pixels[rows]

    predict(model, Streamed(), stream.rows, batch_size=64)
    assert read == stream.rows.tolist()


def test_streamed_and_stored_images_give_equal_batches(tmp_path: Path) -> None:
    ids = []
    for number in range(10):
        data = encoded(make_image(number, bright=bool(number % 2)))
        (tmp_path / f"{number}.png").write_bytes(data)
        ids.append(hashlib.sha256(data).hexdigest())
    plan = PixelSource(tmp_path, ids, [f"{n}.png" for n in range(10)], Transform(12, "pad", (0, 0, 0), 10**6))
    options = {"batch_size": 4, "seed": 1, "augmentation": Augmentation(True, 10, 0.1, 0.1, 0.1, 0.1)}
    stored, streamed = (
        TrainingBatches(given.array, given.rows(ids[1:]), np.eye(9, dtype=np.float32), **options)
        for given in (open_pixels(tmp_path / "cache", plan), open_pixels(tmp_path / "cache", replace(plan, budget=0)))
    )
    assert type(stored.pixels) is not type(streamed.pixels)
    for step in range(6):
        np.testing.assert_array_equal(stored[step][0], streamed[step][0])


def test_images_stay_bytes_until_the_device() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    batches = TrainingBatches(
        pixels, np.arange(4), np.eye(4, dtype=np.float32), batch_size=4, seed=0, augmentation=None
    )
    read, targets = batches[0]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels[targets.argmax(axis=1)])
    batches.augmentation = Augmentation(True, 10, 0.1, 0.1, 0.1, 0.1)
    assert batches[0][0].dtype == np.uint8


def test_class_weights_give_classes_equal_influence() -> None:
    targets = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    weights = balanced_weights(targets)
    np.testing.assert_allclose(targets.T @ targets @ weights, [2, 2])
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    stream = TrainingBatches(
        pixels, np.arange(4), targets, batch_size=4, seed=0, augmentation=None, class_weights=weights
    )
    _, drawn, drawn_weights = stream[0]
    np.testing.assert_allclose(drawn_weights, np.where(drawn[:, 1] == 1, 2, 2 / 3), rtol=1e-6)


@pytest.mark.parametrize(("gpus", "size"), [(0, 32), (1, 64)])
def test_predictions_come_in_smaller_batches_on_a_cpu(monkeypatch, gpus: int, size: int) -> None:
    monkeypatch.setattr(training_batches, "count_gpus", lambda: gpus)
    model, seen = SimpleNamespace(), []
    model.predict_on_batch = lambda block: seen.append(len(block)) or np.zeros((len(block), 2))
    assert predict(model, np.zeros((70, 1, 1, 3), np.uint8), np.arange(70)).shape == (70, 2)
    assert seen == [size] * -(-70 // size)
