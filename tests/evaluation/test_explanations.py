import numpy as np
import pytest

from goodbad_pipeline.evaluation.figures import border_share, enlarge, mask_centre, overlay


def heat(*places, side=16):
    maps = np.zeros((len(places), side, side), dtype=np.float32)
    for index, (row, column) in enumerate(places):
        maps[index, row, column] = 1
    return maps


def test_mass_on_the_border_and_in_the_middle():
    assert border_share(heat((0, 0), (8, 8), (1, 5), (2, 5))).tolist() == [1, 0, 1, 0]
    assert border_share(np.ones((1, 16, 16))) == pytest.approx(1 - (12 / 16) ** 2)
    assert np.isnan(border_share(np.zeros((1, 16, 16)))).all()


def test_the_centre_is_masked_and_nothing_else_and_the_images_stay():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    before = pixels.copy()
    masked = mask_centre(pixels, (255, 254, 253))
    assert (masked[:, 4:12, 4:12] == (255, 254, 253)).all()
    masked[:, 4:12, 4:12] = pixels[:, 4:12, 4:12]
    np.testing.assert_array_equal(masked, before)
    np.testing.assert_array_equal(pixels, before)


def test_heat_is_enlarged_in_place_and_shows_where_it_is():
    maps = np.zeros((1, 4, 4), dtype=np.float32)
    maps[0, 0, 3] = 1
    large = enlarge(maps, 32)
    assert large.shape == (1, 32, 32)
    row, column = np.unravel_index(large[0].argmax(), (32, 32))
    assert row < 8
    assert column >= 24
    assert large.min() >= 0
    assert large.max() <= 1
    grey = np.full((1, 32, 32, 3), 128, dtype=np.uint8)
    shown = overlay(grey, large)
    assert shown.dtype == np.uint8
    assert shown[0, 0, 31].astype(int).sum() > shown[0, 31, 0].astype(int).sum() + 150


def test_no_heat_maps_give_no_images():
    assert enlarge(np.empty((0, 4, 4)), 8).shape == (0, 8, 8)
