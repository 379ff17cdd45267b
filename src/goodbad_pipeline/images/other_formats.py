"""GIF, BMP, WebP and TIFF: decoded by Pillow, except for levels beyond 8 bits."""

import io

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from goodbad_pipeline.images.formats import Colour, UnsupportedError, scale, to_rgb

_UNSIGNED, _WHITE_IS_ZERO = 1, 0


class OtherImage:
    """A file that Pillow decodes; see :class:`~goodbad_pipeline.images.formats.EncodedImage`.

    Raises:
        Exception: Any error of Pillow, here or in :meth:`pixels`.
    """

    def __init__(self, data: bytes, container: str) -> None:
        self._image = Image.open(io.BytesIO(data), formats=(container,))
        self.width, self.height = self._image.size
        self.format = container
        self.animated = bool(getattr(self._image, "is_animated", False))

    def pixels(self, background: Colour, factor: int) -> np.ndarray:
        """Decode at full size; see :meth:`~goodbad_pipeline.images.formats.EncodedImage.pixels`."""
        image = self._image
        if image.mode == "F" or image.mode.startswith("I"):
            return to_rgb(Image.fromarray(_eight_bits(image)), background)
        image.load()
        return to_rgb(image, background)

    def orientation(self) -> int:
        """Return the EXIF orientation."""
        return int(self._image.getexif().get(ExifTags.Base.Orientation, 1))


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Return the grey levels of a TIFF as uint8.

    Raises:
        UnsupportedError: The levels of black and white are undefined.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = max(tags.get(BITSPERSAMPLE, (1,)))
    if bits > 16 or set(tags.get(SAMPLEFORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        raise UnsupportedError(f"samples of {bits} bits, or signed ones: the levels of black and white are undefined")
    maximum = 2**bits - 1
    levels = np.asarray(image)
    return scale(maximum - levels if tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO else levels, maximum)
