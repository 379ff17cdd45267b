import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories import encoded, make_image
from PIL import Image

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.pixels import Pixels, Transform, pixel_source, resize_image, transform_image


def transform(resize: str = "pad", resolution: int = 16) -> Transform:
    return Transform(resolution, resize, (9, 9, 9), 10**6)


def wide() -> np.ndarray:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, 5:15] = 200
    return pixels


def test_pad_keeps_the_whole_image_between_bars() -> None:
    square = resize_image(wide(), transform("pad"))
    assert square.shape == (16, 16, 3)
    np.testing.assert_array_equal(square[0], 9)
    assert square[8, 0, 0] < 20
    assert square[8, 8, 0] > 190


def test_crop_cuts_the_ends() -> None:
    assert resize_image(wide(), transform("crop")).min() > 150


def test_stretch_fills_the_square() -> None:
    square = resize_image(wide(), transform("stretch"))
    assert square[0, 8, 0] > 190
    assert square[0, 0, 0] < 20


def table(root: Path, count: int) -> pd.DataFrame:
    rows = []
    for number in range(count):
        data = encoded(make_image(number, bright=True))
        (root / f"{number}.png").write_bytes(data)
        rows.append((hashlib.sha256(data).hexdigest(), f"{number}.png"))
    return pd.DataFrame(rows, columns=["image_id", "path"])


def test_blocks_hold_every_distinct_image_in_order(tmp_path: Path) -> None:
    frame = table(tmp_path, 5)
    doubled = pd.concat([frame, frame])
    source = pixel_source(doubled, tmp_path, transform())
    assert source.shape == (5, 16, 16, 3)
    pixels = np.concatenate(list(source.blocks()))
    expected = transform_image((tmp_path / "3.png").read_bytes(), transform())
    np.testing.assert_array_equal(pixels[3], expected)


def test_a_changed_or_removed_file_is_named(tmp_path: Path) -> None:
    frame = table(tmp_path, 2)
    (tmp_path / "1.png").write_bytes(encoded(Image.new("RGB", (4, 4))))
    with pytest.raises(InputError, match=r"1\.png: changed since ingestion"):
        list(pixel_source(frame, tmp_path, transform()).blocks())
    (tmp_path / "1.png").write_bytes(b"a video, now")
    with pytest.raises(InputError, match=r"1\.png: changed since ingestion"):
        list(pixel_source(frame, tmp_path, transform()).blocks())
    (tmp_path / "1.png").unlink()
    os.mkfifo(tmp_path / "1.png")  # to open it would be to wait for ever
    with pytest.raises(InputError, match=r"1\.png: can no longer be read \(a FIFO"):
        list(pixel_source(frame, tmp_path, transform()).blocks())
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png: can no longer be read"):
        list(pixel_source(frame, tmp_path, transform()).blocks())


def test_rows_are_found_by_image_id() -> None:
    pixels = Pixels(np.array(["a", "b", "c"]), np.zeros((3, 2, 2, 3), np.uint8), transform())
    assert pixels.rows(["c", "a", "c"]).tolist() == [2, 0, 2]
    with pytest.raises(InputError, match="image d of the splits is not in the pixel cache"):
        pixels.rows(["a", "d"])


def test_bytes_that_are_not_an_image_raise_the_reason() -> None:
    with pytest.raises(InputError, match="not_an_image"):
        transform_image(b"words", transform())
