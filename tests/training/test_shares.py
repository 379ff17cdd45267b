import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.batches import TrainingBatches
from goodbad_pipeline.training.recipe import Augmentation


def batches(count: int, size: int, shares: int, mine: range | None = None, **options: object) -> TrainingBatches:
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1).repeat(3, axis=3)
    targets = np.eye(count, dtype=np.float32)
    values = {"augmentation": None, "seed": 3, **options}
    return TrainingBatches(pixels, np.arange(count), targets, batch_size=size, shares=shares, mine=mine, **values)


@given(st.integers(8, 60), st.sampled_from([1, 2, 4, 8]), st.integers(1, 3))
@settings(max_examples=25)
def test_processes_together_see_what_one_sees(count: int, shares: int, times: int) -> None:
    size, step = shares * times, 5
    whole = batches(count, size, shares)
    for processes in (2, 4):
        if shares % processes:
            continue
        each = shares // processes
        mine = [range(index * each, (index + 1) * each) for index in range(processes)]
        parts = [batches(count, size, shares, share)[step] for share in mine]
        for found, expected in zip(zip(*parts, strict=True), whole[step], strict=True):
            np.testing.assert_array_equal(np.concatenate(found), expected)


@given(st.integers(4, 60), st.sampled_from([1, 2, 4]), st.integers(1, 4))
@settings(max_examples=25)
def test_an_epoch_has_every_image_and_a_share_no_others(count: int, shares: int, times: int) -> None:
    for share in range(shares):
        made = batches(count, shares * times, shares, range(share, share + 1))
        seen = {int(one) for step in range(made.steps_per_epoch) for one in made[step][0][:, 0, 0, 0]}
        assert seen == set(range(share, count, shares))


def test_shares_change_images_each_in_its_own_way() -> None:
    augmentation = Augmentation(flip=False, brightness=0.5)
    options = {"augmentation": augmentation}
    shares = [batches(16, 8, 2, mine, **options) for mine in (None, range(1), range(1, 2))]
    for share in shares:
        share.pixels = np.full_like(share.pixels, 100)
    pixels, *alone = (share[0][0] for share in shares)
    np.testing.assert_array_equal(pixels, np.concatenate(alone))
    assert len(np.unique(pixels)) > 6


@pytest.mark.parametrize(
    ("count", "size", "shares", "message"),
    [
        (16, 10, 4, r"training.batch_size: must be a multiple of training.shares \(4\), got 10"),
        (3, 4, 4, "training.shares: 3 images cannot be dealt into 4 shares"),
    ],
)
def test_what_cannot_be_dealt_is_told(count: int, size: int, shares: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(count, size, shares)
