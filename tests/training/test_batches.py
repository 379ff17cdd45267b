import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from making import encoded, picture

from goodbad_pipeline.images.pixel_store import open_pixels
from goodbad_pipeline.images.pixels import PixelSource, Transform
from goodbad_pipeline.training.augmentation import Augmentation
from goodbad_pipeline.training.batches import TrainingBatches, predict


def batches(count: int = 10, size: int = 4, seed: int = 0, augmentation: Augmentation | None = None) -> TrainingBatches:
    pixels = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    rows = np.arange(count) * 2
    targets = np.eye(count, dtype=np.float32)
    return TrainingBatches(pixels, rows, targets, batch_size=size, seed=seed, augmentation=augmentation)


def test_every_picture_comes_once_an_epoch_with_its_target() -> None:
    stream = batches()
    assert stream.steps_per_epoch == 3
    for epoch in range(2):
        epoch_batches = [stream[epoch * 3 + step] for step in range(3)]
        assert [len(pixels) for pixels, _ in epoch_batches] == [4, 4, 2]
        seen = np.concatenate([pixels[:, 0, 0, 0] for pixels, _ in epoch_batches])
        targets = np.concatenate([target.argmax(axis=1) for _, target in epoch_batches])
        assert sorted(seen) == list(range(0, 20, 2))
        np.testing.assert_array_equal(seen, targets * 2)


def test_a_step_is_the_same_whenever_it_is_asked_for_and_epochs_differ() -> None:
    everything = Augmentation(True, 10, 0.1, 0.1, 0.1, 0.1)
    one, other = batches(augmentation=everything), batches(augmentation=everything)
    np.testing.assert_array_equal(one[5][0], [other[7], other[0], other[5]][2][0])
    order = [np.concatenate([batches()[epoch * 3 + step][0][:, 0, 0, 0] for step in range(3)]) for epoch in range(2)]
    assert not np.array_equal(*order)
    assert not np.array_equal(batches(seed=1)[0][1], batches(seed=2)[0][1])


def test_predict_keeps_the_order_over_blocks() -> None:
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D()])
    stream = batches()
    outputs = predict(model, stream.pixels, stream.rows, batch_size=3)
    np.testing.assert_allclose(outputs[:, 0], stream.rows, rtol=1e-6)


def test_streamed_pictures_make_the_batches_that_stored_ones_make(tmp_path: Path) -> None:
    ids = []
    for number in range(10):
        data = encoded(picture(number, bright=bool(number % 2)))
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
