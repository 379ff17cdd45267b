"""JPEG whose colours are sampled in a way that simplejpeg refuses: told sound by how much of it a decoder eats.

Damage shifts what follows it, so that a decoder is left with data or without. Pillow passes over both, but where the
file just ends, without its end marker, it asks for more.
"""

import io

from PIL import Image

_SLACK = 16  # bytes; a decoder looks 8 ahead
_END = 2  # bytes of the end marker


def check_extent(data: bytes) -> None:
    """Check that a sequential JPEG of one scan needs all of its data and no more.

    Args:
        data: The file, which has no thumbnails and ends with its end marker.

    Raises:
        ValueError: It does not.
    """
    if _wants_more(data[:-_END] + bytes(_SLACK)):
        raise ValueError("its data end too early")
    header = data.rindex(b"\xff\xda") + 2
    start = header + int.from_bytes(data[header : header + 2])
    if not _wants_more(data[: max(start, len(data) - _END - _SLACK)]):
        raise ValueError("its data go on behind its last row")


def _wants_more(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        return True
    return False
