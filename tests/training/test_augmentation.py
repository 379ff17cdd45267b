import numpy as np
import pytest

from goodbad_pipeline.training.augmentation import Augmentation, augment


def ramp(count: int = 4, side: int = 16) -> np.ndarray:
    """Brightness rises from left to right."""
    return np.broadcast_to((np.arange(side) * 10 + 20)[None, None, :, None], (count, side, side, 3)).astype(np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_nothing_switched_on_changes_nothing() -> None:
    result = augment(ramp(), Augmentation(flip=False), rng())
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, ramp())


def test_flip_mirrors_about_half_and_only_that() -> None:
    batch = ramp(64)
    result = np.rint(augment(batch, Augmentation(flip=True), rng()))
    mirrored = [bool((picture == batch[0, :, ::-1]).all()) for picture in result]
    kept = [bool((picture == batch[0]).all()) for picture in result]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 16 < sum(mirrored) < 48


def test_the_same_generator_gives_the_same_pictures() -> None:
    everything = Augmentation(True, 20, 0.2, 0.3, 0.2, 0.2)
    first, second = (augment(ramp(), everything, rng()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, augment(ramp(), everything, np.random.default_rng(1)))


def test_translation_shifts_by_no_more_than_asked() -> None:
    result = augment(ramp(32), Augmentation(flip=False, translation=0.25), rng())
    shift = (result[:, 8, 8, 0] - ramp()[0, 8, 8, 0]) / 10  # pixels, for each pixel is 10 brighter than the last
    assert np.abs(shift).max() <= 4.01
    assert np.abs(shift).max() > 1


def test_rotation_turns_about_the_centre() -> None:
    batch = ramp(32, 17)
    result = augment(batch, Augmentation(flip=False, rotation=30), rng())
    np.testing.assert_allclose(result[:, 8, 8], batch[:, 8, 8], atol=0.5)
    slopes = result[:, 8, 9, 0] - result[:, 8, 7, 0]
    assert (slopes >= 20 * np.cos(np.deg2rad(30)) - 0.5).all()
    assert slopes.min() < 19.5


def test_zoom_scales_about_the_centre() -> None:
    result = augment(ramp(32, 17), Augmentation(flip=False, zoom=0.5), rng())
    slopes = result[:, 8, 9, 0] - result[:, 8, 7, 0]
    assert slopes.min() >= 20 / 1.5 - 0.1
    assert slopes.max() <= 20 / 0.5 + 0.1
    assert slopes.std() > 1


@pytest.mark.parametrize("change", ["brightness", "contrast"])
def test_colour_stays_in_range(change: str) -> None:
    extreme = np.zeros((8, 4, 4, 3), np.uint8)
    extreme[:, :2] = 255
    result = augment(extreme, Augmentation(flip=False, **{change: 0.9}), rng())
    assert result.min() >= 0
    assert result.max() <= 255
    assert not np.array_equal(result, extreme)


def test_the_input_is_not_touched() -> None:
    batch = ramp().copy()
    augment(batch, Augmentation(True, 20, 0.2, 0.3, 0.2, 0.2), rng())
    np.testing.assert_array_equal(batch, ramp())
