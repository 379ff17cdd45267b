"""The column ``image`` of a prediction request: bytes, base64 or a path."""

import base64
import binascii
import os
import re
from pathlib import Path
from urllib.parse import unquote

from goodbad_pipeline.images.paths import read_inside, to_text
from goodbad_pipeline.images.rejections import Reason, Rejection

_DATA_URL = re.compile(r"\s*data:[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]*={0,2}\s*", re.ASCII)
_URL_SAFE = str.maketrans("-_", "+/")


def read_image(cell: object, *, allow_paths: bool) -> bytes | Rejection:
    """Return the content of the image file in a cell, or a rejection; never raise an error.

    A cell contains bytes, base64 text, a ``data:`` URL, or a path as text or ``Path``. Base64 may be URL-safe and
    unpadded. If paths are allowed, a text that is base64 and also the name of a file is read as a path. A server must
    not allow paths, because clients could then read files of the server.
    """
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell)
    if isinstance(cell, Path):
        cell = str(cell)
    if not isinstance(cell, str):
        return Rejection(Reason.MISSING, f"image must be bytes, base64 or a path, got {type(cell).__name__}")
    if allow_paths and _is_path(cell):
        return read_inside(Path("/"), to_text(os.path.abspath(cell)).lstrip("/")).content
    return _from_base64(cell, allow_paths)


def _is_path(text: str) -> bool:
    if _DATA_URL.match(text):
        return False
    if not _BASE64.fullmatch(text):
        return True
    try:
        return bool(text.strip()) and len(text) < 4096 and Path(text).exists()
    except (OSError, ValueError):
        return False


def _from_base64(text: str, allow_paths: bool) -> bytes | Rejection:
    bare = "".join(unquote(_DATA_URL.sub("", text, count=1)).split()).rstrip("=")
    if not ({"+", "/"} & {*bare}):
        bare = bare.translate(_URL_SAFE)
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        names = "neither base64 nor a file" if allow_paths else "not base64"
        return Rejection(Reason.NOT_AN_IMAGE, f"{names} ({error})")
