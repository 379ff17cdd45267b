"""Measures of single images, and the limits from which an image needs a look."""

import numpy as np
import pandas as pd
from factories import parameters
from scipy.ndimage import gaussian_filter

from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.review.issues import ISSUES, find_issues, measure_pixels, name_issues

SIDE = 64


def pictures() -> np.ndarray:
    """Return ten images of noise with structure; the last four are dark, overexposed, blurred and uniform."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(10, SIDE, SIDE)), (0, 1, 1))
    levels = 128 + 50 * noise / noise.std()
    levels[6] *= 0.2
    levels[7] = np.where(levels[7] < 15, levels[7], 250)
    levels[8] = 128 + 3000 * gaussian_filter(noise[8], 6)
    levels[9] = 128
    return np.repeat(np.clip(levels, 0, 255).astype(np.uint8)[..., None], 3, axis=3)


def issues(pixels: np.ndarray, *, padded: bool = False, **changes: object) -> list[str]:
    count = len(pixels)
    images = pd.DataFrame({"width": 100, "height": 100, "label": "a", "copies": [f"c{one}" for one in range(count)]})
    similarity = np.linspace(0.5, 0.6, count)
    for name, values in changes.items():
        if name == "similarity":
            similarity[: np.size(values)] = values
        else:
            images.loc[: len(values) - 1, name] = values
    measures = measure_pixels(pixels, images[["width", "height"]].to_numpy(), padded=padded)
    limits = validate_parameters(parameters())["review"].limits.model_dump()
    return name_issues(find_issues(images, measures, similarity, limits).assign(label=False)).tolist()


def test_dark_overexposed_blurred_and_uniform_images_are_found() -> None:
    assert issues(pictures()) == [""] * 6 + ["dark", "overexposed", "blurred", "uniform"]


def test_padding_does_not_count() -> None:
    pixels = pictures()
    pixels[:, : SIDE // 4] = pixels[:, -SIDE // 4 :] = 255
    sizes = {"width": [200] * 10}
    assert issues(pixels, padded=True, **sizes) == [""] * 6 + ["dark", "overexposed", "blurred", "uniform"]
    assert "dark" not in issues(pixels, padded=False, **sizes)


def test_odd_sizes_ratios_outliers_and_near_duplicates_are_found() -> None:
    plain = pictures()[:6].repeat(2, axis=0)
    assert issues(plain, width=[1000], height=[1000]) == ["odd_size"] + [""] * 11
    assert issues(plain, width=[200], height=[50]) == ["odd_aspect_ratio"] + [""] * 11
    assert issues(plain, similarity=-0.9) == ["outlier"] + [""] * 11
    assert issues(plain, copies=["c1"], label=["b"]) == ["near_duplicate"] * 2 + [""] * 10


def test_without_images_that_resemble_each_other_none_is_an_outlier() -> None:
    assert issues(pictures()[:6], similarity=[-0.1, -0.2, -0.3, -0.1, -0.2, -0.3]) == [""] * 6


def test_the_first_issue_is_named() -> None:
    found = pd.DataFrame([[False] * 9, [True] * 9, [False] * 8 + [True]], columns=list(ISSUES))
    assert name_issues(found).tolist() == ["", "label", "near_duplicate"]
