"""Whatever a picture's samples are, as 8-bit RGB."""

import numpy as np
from PIL import Image

from goodbad_pipeline.images.formats import Colour


def scale(levels: np.ndarray, most: int = 65535) -> np.ndarray:
    """Bring levels 0–``most`` to uint8 0–255, rounded, not clipped."""
    return ((levels.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)


def hide(image: Image.Image, clear: np.ndarray) -> Image.Image:
    """Make the pixels transparent where ``clear``, bool (height, width), is true."""
    seen = image.convert("RGB")
    seen.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return seen


def to_rgb(image: Image.Image, background: Colour) -> np.ndarray:
    """Lay a picture of 8 bits over ``background``: uint8 (height, width, 3)."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        under = Image.new("RGBA", rgba.size, (*background, 255))
        return np.asarray(Image.alpha_composite(under, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))
