"""Numbers from heat maps: how much of them lies on the border, and images whose centre is masked."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goodbad_pipeline.evaluation.predictions import FloatArray, PixelArray

BORDER = 1 / 8
"""Width of the border, as a share of the side; a uniform heat map has 44 % of its mass there."""
CENTRE = 1 / 2
"""Side of the masked square, as a share of the image's: a quarter of its area."""


def enlarge(maps: FloatArray, side: int) -> NDArray[np.float32]:
    """Enlarge heat maps (n, h, w) to (n, side, side), bilinearly."""
    size = (side, side)
    enlarged = [Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BILINEAR) for one in maps]
    return np.array(enlarged, dtype=np.float32).reshape(-1, side, side)


def border_share(heat: FloatArray) -> NDArray[np.float64]:
    """Return the share of each heat map's mass on the border, (n,); NaN for an empty map.

    Args:
        heat: (n, side, side), at least 0.
    """
    width = max(1, round(heat.shape[1] * BORDER))
    total = heat.sum(axis=(1, 2), dtype=np.float64)
    inner = heat[:, width:-width, width:-width].sum(axis=(1, 2), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, 1 - inner / np.where(total > 0, total, 1), np.nan)


def mask_centre(pixels: PixelArray, colour: tuple[int, int, int]) -> PixelArray:
    """Return a copy of images (n, side, side, 3) whose centre has one colour."""
    side = pixels.shape[1]
    start = round(side * (1 - CENTRE) / 2)
    masked = pixels.copy()
    masked[:, start : side - start, start : side - start] = colour
    return masked
