"""What tells copies of an image, exact and near, without keeping its pixels.

Apart from :mod:`~goodbad_pipeline.images.duplicates`, which compares them, because worker processes start quickly
without pandas.
"""

import numpy as np
from blake3 import blake3
from PIL import Image

HASH_SIDE = 8
THUMBNAIL_SIDE = 8
THUMBNAIL_BYTES = THUMBNAIL_SIDE * THUMBNAIL_SIDE * 3
_MINIATURE_SIDE = 64


def pixel_hash(pixels: np.ndarray) -> str:
    """Return the BLAKE3 digest of uint8 (h, w, 3) and its size: 64 hex digits, the same for equal images alone."""
    height, width, _ = pixels.shape
    return blake3(f"{width}x{height}".encode()).update(pixels.data.cast("B")).hexdigest()


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Average whole blocks of pixels until the shorter side is about 64: fingerprints of large images cost less.

    Of a block's rows two are enough, if it has that many; the others are stepped over without a copy.
    """
    height, width, _ = pixels.shape
    factor = min(height, width) // _MINIATURE_SIDE
    if factor < 2:
        return pixels
    step = factor // 2
    rows, stride = -(-height // step), step * width * 3
    sampled = Image.frombuffer("RGB", (width, rows), np.ascontiguousarray(pixels), "raw", "RGB", stride, 1)
    return np.asarray(sampled.reduce((factor, factor // step)))


def difference_hash(pixels: np.ndarray) -> int:
    """Return the 64-bit difference hash of uint8 (h, w, 3): one bit per horizontal step of an 8 × 9 grey miniature.

    The value is the unsigned hash read as int64, so that Parquet holds it.
    """
    grey = Image.fromarray(pixels).convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    levels = np.asarray(grey).astype(np.int16)
    bits = np.packbits(levels[:, 1:] > levels[:, :-1])
    return int(bits.view(">i8")[0])


def thumbnail(pixels: np.ndarray) -> bytes:
    """Return the 8 × 8 RGB miniature of uint8 (h, w, 3) as 192 bytes."""
    return Image.fromarray(pixels).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX).tobytes()
