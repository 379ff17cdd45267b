"""The choice of a resolution, with networks whose features tell the classes from 64 pixels on."""

import keras
import numpy as np
import pytest

from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training.resolution import candidate_resolutions, compare_resolutions

pytestmark = pytest.mark.usefixtures("eager")


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([28, 28, 28], [128]),
        ([128, 128], [128]),
        ([129, 129], [128, 160]),
        ([150, 170, 4000], [128, 160, 192]),
        ([1000], [128, 160, 192, 224]),
    ],
)
def test_candidates_end_above_the_median_side(sides: list[int], expected: list[int]) -> None:
    assert candidate_resolutions((128, 160, 192, 224), np.array(sides)) == expected


def load(side: int) -> LabelledPixels:
    """Return images of stripes whose width is a pixel of the finest resolution: at 32 pixels, all images are grey."""
    rng = np.random.default_rng(0)
    y_true = np.arange(80) // 2 % 2
    pixels = np.full((80, side, side, 3), 127, np.uint8)
    if side > 32:
        pixels[y_true == 1, :, ::2] = 200
    noise = rng.integers(0, 20, pixels.shape, np.uint8)
    return LabelledPixels(pixels + noise, np.arange(80), y_true, 2, np.arange(80) // 2)


def build(side: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(pixels)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="predictions")(x))


def test_the_lowest_resolution_that_is_no_worse_beyond_chance_is_chosen() -> None:
    table = compare_resolutions((32, 64, 96), build, load, seed=0)
    assert table["resolution"].tolist() == [32, 64, 96]
    assert table["chosen"].sum() == 1
    chosen = table[table["chosen"]].iloc[0]
    assert chosen["resolution"] > 32
    assert chosen["excess"] <= chosen["chance"]
    assert table["log_loss"][0] > 0.6
    assert table["log_loss"][1] < 0.1
