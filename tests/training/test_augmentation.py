import keras
import numpy as np
import pytest

from goodbad_pipeline.training import augmentation as made_by
from goodbad_pipeline.training.augmentation import draw_changes
from goodbad_pipeline.training.batches import TrainingBatches
from goodbad_pipeline.training.distributed import SINGLE_PROCESS
from goodbad_pipeline.training.recipe import Augmentation

EVERYTHING = Augmentation(True, 20, 0.2, 0.3, 0.2, 0.2)


def augment(pixels: np.ndarray, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Augment on the host and return signed integers."""
    result = made_by.augment(pixels, draw_changes(len(pixels), pixels.shape[1:3], augmentation, rng))
    assert result.dtype == np.uint8
    return result.astype(np.float32)


def ramp(count: int = 4, side: int = 16) -> np.ndarray:
    """Brightness rises from left to right."""
    return np.broadcast_to((np.arange(side) * 10 + 20)[None, None, :, None], (count, side, side, 3)).astype(np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_no_augmentation_changes_nothing() -> None:
    result = augment(ramp(), Augmentation(flip=False), rng())
    np.testing.assert_array_equal(result, ramp())


def test_flip_only_mirrors_about_half_of_the_images() -> None:
    batch = ramp(64)
    result = augment(batch, Augmentation(flip=True), rng())
    mirrored = [bool((image == batch[0, :, ::-1]).all()) for image in result]
    kept = [bool((image == batch[0]).all()) for image in result]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 16 < sum(mirrored) < 48


def test_the_same_generator_gives_the_same_images() -> None:
    first, second = (augment(ramp(), EVERYTHING, rng()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, augment(ramp(), EVERYTHING, np.random.default_rng(1)))


def test_translation_stays_in_its_range() -> None:
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


def test_the_input_is_not_modified() -> None:
    batch = ramp().copy()
    augment(batch, EVERYTHING, rng())
    np.testing.assert_array_equal(batch, ramp())


def test_contrast_uses_the_mean_of_the_moved_image() -> None:
    batch = ramp(2, 9)
    changes = draw_changes(2, (9, 9), Augmentation(flip=False, brightness=0.4, contrast=0.4), rng())
    assert changes.maps is None
    expected = [
        np.clip((image - image.mean()) * contrast + image.mean() * brightness, 0, 255)
        for image, brightness, contrast in zip(batch, changes.brightness, changes.contrast, strict=True)
    ]
    np.testing.assert_allclose(made_by.augment(batch, changes), expected, atol=0.51)


def test_device_and_host_augment_equally() -> None:
    y, x = np.mgrid[:48, :40] / 10
    smooth = np.stack([100 + 60 * np.sin(x + y), 120 + 50 * np.cos(x), 90 + 40 * np.sin(2 * y)], axis=-1)
    batch = np.stack([smooth, smooth[::-1], smooth[:, ::-1]]).astype(np.uint8)
    changes = draw_changes(3, (48, 40), EVERYTHING, rng())
    host, device = made_by.augment(batch, changes), made_by.augment_on_device(batch, changes)
    assert keras.ops.is_tensor(device)
    assert keras.backend.standardize_dtype(device.dtype) == "float32"
    difference = np.abs(host - keras.ops.convert_to_numpy(device))
    assert difference.max() < 1.25  # two roundings


@pytest.mark.parametrize("weights", [None, np.array([0.5, 1.5], np.float32)])
def test_images_augmented_on_the_device_stay_there(weights: np.ndarray | None) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
    options = {"batch_size": 4, "seed": 0, "augmentation": EVERYTHING, "class_weights": weights, "on_device": True}
    stream = TrainingBatches(pixels, np.arange(8), np.eye(2, dtype=np.float32)[np.arange(8) % 2], **options)
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile(loss="categorical_crossentropy")
    assert keras.ops.is_tensor(stream[0][0])
    assert np.isfinite(SINGLE_PROCESS.train_step(model, stream[0])["loss"])
