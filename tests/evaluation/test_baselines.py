import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.evaluation import baselines
from goodbad_pipeline.evaluation.baselines import colour_histograms, histogram_baseline, majority_baseline


def noise(count, seed, low=0, high=256, size=8):
    return np.random.default_rng(seed).integers(low, high, (count, size, size, 3), dtype=np.uint8)


def dark_and_light(count, seed):
    """Images of class 0 (dark) and 1 (light), in turn."""
    pixels = np.where(
        np.arange(count)[:, None, None, None] % 2, noise(count, seed, 100, 256), noise(count, seed, 0, 156)
    )
    return pixels.astype(np.uint8), np.arange(count) % 2


def test_majority_predicts_the_class_frequencies_of_training():
    probabilities = majority_baseline(np.array([1, 1, 0, 1]), 3, 3)
    np.testing.assert_array_equal(probabilities, [[0.25, 0.75, 0]] * 3)


def test_majority_breaks_a_tie_for_the_first_class():
    assert majority_baseline(np.array([2, 1, 1, 2]), 2, 3).argmax(axis=1).tolist() == [1, 1]


def test_majority_of_no_test_images_is_empty():
    assert majority_baseline(np.array([0, 1]), 0, 2).shape == (0, 2)


def test_a_histogram_by_hand():
    image = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    image[0, 0, 0] = [255, 0, 0]
    image[0, 0, 1] = [0, 128, 127]
    histogram = colour_histograms(image, bins=2)
    assert histogram.dtype == np.float32
    np.testing.assert_array_equal(histogram, [[0.5, 0, 0.25, 0, 0.25, 0, 0, 0]])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 32))
def test_histograms_equal_those_of_numpy(seed, bins):
    pixels = noise(2, seed, size=5)
    edges = [np.ceil(np.arange(bins + 1) * 256 / bins)] * 3
    expected = [np.histogramdd(image.reshape(-1, 3), bins=edges)[0].ravel() / 25 for image in pixels]
    np.testing.assert_allclose(colour_histograms(pixels, bins), expected, rtol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_histograms_sum_to_one_and_ignore_the_positions_of_pixels(seed):
    pixels = noise(3, seed)
    shuffled = np.random.default_rng(seed).permutation(pixels.reshape(3, 64, 3), axis=1).reshape(pixels.shape)
    histograms = colour_histograms(pixels)
    np.testing.assert_allclose(histograms.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(histograms, colour_histograms(shuffled))


def test_blocks_do_not_change_the_result(monkeypatch):
    pixels = noise(7, 0)
    whole = colour_histograms(pixels)
    for block_pixels in (1, 64, 200):
        monkeypatch.setattr(baselines, "BLOCK_PIXELS", block_pixels)
        np.testing.assert_array_equal(colour_histograms(pixels), whole)


def test_a_memory_map_is_read_block_by_block(tmp_path, monkeypatch):
    np.save(tmp_path / "pixels.npy", noise(6, 0))
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    monkeypatch.setattr(baselines, "BLOCK_PIXELS", 128)
    sizes = []
    block_histograms = baselines._block_histograms
    monkeypatch.setattr(
        baselines, "_block_histograms", lambda block, bins: sizes.append(len(block)) or block_histograms(block, bins)
    )
    np.testing.assert_array_equal(colour_histograms(pixels), colour_histograms(np.array(pixels)))
    assert sizes == [2] * 6


def test_histograms_of_no_images_are_empty():
    assert colour_histograms(noise(0, 0)).shape == (0, 512)


def test_the_colour_baseline_separates_dark_from_light_without_warnings():
    train, y_true = dark_and_light(80, seed=1)
    test, expected = dark_and_light(40, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = histogram_baseline(train, y_true, test, classes=2, seed=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == expected).mean() > 0.9


def test_the_colour_baseline_is_deterministic():
    train, y_true = dark_and_light(40, seed=1)
    first, second = (histogram_baseline(train, y_true, train, classes=2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_class_without_training_images_gets_nothing():
    train, y_true = dark_and_light(40, seed=1)
    probabilities = histogram_baseline(train, y_true * 2, train[:4], classes=4, seed=0)
    assert probabilities.shape == (4, 4)
    np.testing.assert_array_equal(probabilities[:, [1, 3]], 0)
    assert probabilities.argmax(axis=1).tolist() == [0, 2, 0, 2]


def test_a_lone_class_gets_everything():
    probabilities = histogram_baseline(noise(3, 0), np.ones(3, dtype=int), noise(2, 1), classes=2, seed=0)
    np.testing.assert_array_equal(probabilities, [[0, 1], [0, 1]])


def test_no_test_images_give_no_predictions():
    train, y_true = dark_and_light(4, seed=1)
    assert histogram_baseline(train, y_true, train[:0], classes=2, seed=0).shape == (0, 2)
