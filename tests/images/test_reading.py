import os
from pathlib import Path

import numpy as np
from factories import encoded, make_image
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from goodbad_pipeline.images.paths import to_text
from goodbad_pipeline.images.reading import find_exif, shrink


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


def test_exif_is_found_in_headers_and_a_missing_file_has_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    image = make_image(0, bright=True)
    files = {
        "with.jpg": encoded(image, "JPEG", exif=exif),
        "without.jpg": encoded(image, "JPEG"),
        "with.png": encoded(image, "PNG", exif=exif),
        "without.png": encoded(image, "PNG"),
        "broken.png": b"nothing",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    not_utf8 = os.fsdecode(b"\xff.jpg")
    (tmp_path / not_utf8).write_bytes(files["with.jpg"])
    assert find_exif(tmp_path, [to_text(not_utf8)]).tolist() == [True]
    assert find_exif(tmp_path, [*files, "gone.png"]).tolist() == [True, False, True, False, False, False]
