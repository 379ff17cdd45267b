import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.batches import TrainingBatches
from goodbad_pipeline.training.recipe import Augmentation


def batches(count: int, size: int, data_shards: int, mine: range | None = None, **options: object) -> TrainingBatches:
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1).repeat(3, axis=3)
    targets = np.eye(count, dtype=np.float32)
    values = {"augmentation": None, "seed": 3, **options}
    return TrainingBatches(
        pixels, np.arange(count), targets, batch_size=size, data_shards=data_shards, shards=mine, **values
    )


@given(st.integers(8, 60), st.sampled_from([1, 2, 4, 8]), st.integers(1, 3))
@settings(max_examples=25)
def test_processes_read_the_parts_of_the_batches_of_one(count: int, data_shards: int, times: int) -> None:
    size, step = data_shards * times, 5
    whole = batches(count, size, data_shards)
    for processes in (2, 4):
        if data_shards % processes:
            continue
        each = data_shards // processes
        mine = [range(index * each, (index + 1) * each) for index in range(processes)]
        parts = [batches(count, size, data_shards, shard)[step] for shard in mine]
        for found, expected in zip(zip(*parts, strict=True), whole[step], strict=True):
            np.testing.assert_array_equal(np.concatenate(found), expected)


@given(st.integers(4, 60), st.sampled_from([1, 2, 4]), st.integers(1, 4))
@settings(max_examples=25)
def test_an_epoch_has_every_image_of_its_shard(count: int, data_shards: int, times: int) -> None:
    for shard in range(data_shards):
        stream = batches(count, data_shards * times, data_shards, range(shard, shard + 1))
        read = {int(one) for step in range(stream.steps_per_epoch) for one in stream[step][0][:, 0, 0, 0]}
        assert read == set(range(shard, count, data_shards))


def test_shards_augment_independently() -> None:
    augmentation = Augmentation(flip=False, brightness=0.5)
    options = {"augmentation": augmentation}
    data_shards = [batches(16, 8, 2, mine, **options) for mine in (None, range(1), range(1, 2))]
    for share in data_shards:
        share.pixels = np.full_like(share.pixels, 100)
    pixels, *alone = (share[0][0] for share in data_shards)
    np.testing.assert_array_equal(pixels, np.concatenate(alone))
    assert len(np.unique(pixels)) > 6


@pytest.mark.parametrize(
    ("count", "size", "data_shards", "message"),
    [
        (16, 10, 4, r"training.batch_size: must be a multiple of training.data_shards \(4\), got 10"),
        (3, 4, 4, "training.data_shards: must be at most 3, the number of train images; got 4"),
    ],
)
def test_uneven_shards_are_refused(count: int, size: int, data_shards: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(count, size, data_shards)
