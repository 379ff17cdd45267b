"""Helpers that decode a file and return its pixels or the reason of its rejection."""

import numpy as np

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.formats import Colour
from goodbad_pipeline.images.rejections import Reason, Rejection

WHITE = (255, 255, 255)


def decode(
    data: bytes, *, max_pixels: int = 10**7, background: Colour = WHITE, tiff: bool = True
) -> Decoded | Rejection:
    return decode_image(data, max_pixels=max_pixels, background=background, tiff=tiff)


def pixels(data: bytes, *, max_pixels: int = 10**7, background: Colour = WHITE) -> np.ndarray:
    decoded = decode(data, max_pixels=max_pixels, background=background)
    assert isinstance(decoded, Decoded), decoded
    return decoded.pixels


def reason(data: bytes, *, max_pixels: int = 10**7, tiff: bool = True) -> Reason:
    rejected = decode(data, max_pixels=max_pixels, tiff=tiff)
    assert isinstance(rejected, Rejection), rejected
    return rejected.reason
