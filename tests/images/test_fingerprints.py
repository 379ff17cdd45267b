import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from goodbad_pipeline.images.fingerprints import shrink


@given(st.integers(128, 700), st.integers(128, 700), st.booleans(), st.integers(0, 9))
def test_shrinking_averages_the_sampled_rows_of_every_block(height: int, width: int, turned: bool, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if turned:
        pixels = pixels[::-1].swapaxes(0, 1)
    factor = min(height, width) // 64
    step = factor // 2
    rows = Image.fromarray(np.ascontiguousarray(pixels[::step]))
    assert np.array_equal(shrink(pixels), np.asarray(rows.reduce((factor, factor // step))))


def test_small_images_are_not_shrunk() -> None:
    pixels = np.zeros((127, 900, 3), np.uint8)
    assert shrink(pixels) is pixels
