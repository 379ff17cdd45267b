import numpy as np
import pytest

from goodbad_pipeline.training.batches import TrainingBatches
from goodbad_pipeline.training.recipe import Augmentation

KINDS = [{"rand_augment": 2}, {"erasing": 1.0}, {"mixup": 0.4}, {"cutmix": 1.0}]


def batches(**kinds: float) -> TrainingBatches:
    rng = np.random.default_rng(0)
    pixels = rng.integers(50, 200, (12, 16, 16, 3), np.uint8)
    augmentation = Augmentation(flip=False, **kinds)
    targets = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    return TrainingBatches(pixels, np.arange(12), targets, batch_size=12, seed=3, augmentation=augmentation)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: next(iter(kind)))
def test_a_step_always_has_the_same_batch(kind: dict) -> None:
    stream, again = batches(**kind), batches(**kind)
    later = stream[7]
    stream[0], again[3]
    for one, other in zip(again[7], later, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(stream[8][0], later[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: next(iter(kind)))
def test_images_change_and_stay_in_range(kind: dict) -> None:
    plain, changed = batches()[0][0], batches(**kind)[0][0]
    assert changed.shape == plain.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert not np.array_equal(plain, changed)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_mixed_as_images_are(kind: str) -> None:
    targets = np.concatenate([batches(**{kind: 1.0})[step][1] for step in range(4)])
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)
    assert ((targets > 0.01) & (targets < 0.99)).any()


@pytest.mark.parametrize("kind", ["rand_augment", "erasing"])
def test_labels_are_unchanged_without_mixing(kind: str) -> None:
    np.testing.assert_array_equal(batches(**{kind: 1})[0][1], batches()[0][1])


def test_erasing_takes_its_share_of_images() -> None:
    plain, changed = batches()[0][0], batches(erasing=0.5)[0][0]
    touched = (plain != changed).any(axis=(1, 2, 3)).mean()
    assert 0 < touched < 1
