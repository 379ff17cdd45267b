"""One file, read and measured: what a worker process does, one file after another."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from goodbad_pipeline.images.decode import Decoded, Rejected, decode_image
from goodbad_pipeline.images.fingerprints import difference_hash, pixel_hash, shrink, thumbnail
from goodbad_pipeline.images.formats import Colour
from goodbad_pipeline.images.paths import State, read_inside
from goodbad_pipeline.images.reasons import Reason, Rejection


@dataclass(frozen=True)
class Limits:
    """What one file may cost its worker.

    Attributes:
        seconds: Wall-clock time to read, decode and measure it.
        memory: Bytes beyond what the worker holds before its first file.
    """

    seconds: float = 20.0
    memory: int = 1 << 30


@dataclass(frozen=True)
class ReadSettings:
    """What every file of a scan is read with.

    Attributes:
        root: Folder of the images, resolved.
        max_pixels: Largest width × height that is accepted.
        background: RGB under transparent pixels.
        tiff: Whether TIFF is accepted.
        limits: What one file may cost.
    """

    root: Path
    max_pixels: int
    background: Colour
    tiff: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True)
class Task:
    """A file to read.

    Attributes:
        path: Relative to the root, as tables hold it.
        image_id: SHA-256 that it had when it was last measured; where it still has it, it is not decoded again.
        blame: What a worker came to over it: it is hashed and not decoded.
    """

    path: str
    image_id: str | None = None
    blame: Rejection | None = None


@dataclass(frozen=True)
class Measured:
    """An accepted image: columns of the table of images."""

    image_id: str
    width: int
    height: int
    format: str
    animated: bool
    size: int
    pixel_id: str
    fingerprint: int
    thumbnail: bytes


@dataclass(frozen=True)
class Unchanged:
    """The content is the one that the task names."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        result: The measures, or why there are none, or that nothing changed.
        state: Of the file when it was read; None where it was not, or changed so lately that one cannot rely on it.
    """

    result: Measured | Rejection | Unchanged
    state: State | None = None


def read_image(task: Task, settings: ReadSettings) -> Outcome:
    """Read, hash, decode and measure one file; nothing is written anywhere.

    Raises:
        MemoryError: It takes more memory than there is.
    """
    limits = settings.limits
    found = read_inside(settings.root, task.path, most=limits.memory, seconds=limits.seconds / 2)
    state = found.state if found.state and found.state.is_settled else None
    if isinstance(found.content, Rejection):
        known = task.image_id is not None and found.content.image_id == task.image_id
        return Outcome(Unchanged() if known else found.content, state)
    data = found.content
    image_id = hashlib.sha256(data).hexdigest()
    if image_id == task.image_id:
        return Outcome(Unchanged(), state)
    if task.blame is not None:
        return Outcome(replace(task.blame, size=len(data), image_id=image_id))
    decoded = decode_image(data, max_pixels=settings.max_pixels, background=settings.background, tiff=settings.tiff)
    if isinstance(decoded, Rejected):
        if decoded.reason is Reason.OUT_OF_MEMORY:
            raise MemoryError(decoded.detail)
        return Outcome(Rejection(decoded.reason, decoded.detail, len(data), image_id), state)
    return Outcome(_measure(decoded, image_id, len(data)), state)


def _measure(decoded: Decoded, image_id: str, size: int) -> Measured:
    height, width, _ = decoded.pixels.shape
    miniature = shrink(decoded.pixels)
    return Measured(
        image_id=image_id,
        width=width,
        height=height,
        format=decoded.format,
        animated=decoded.animated,
        size=size,
        pixel_id=pixel_hash(decoded.pixels),
        fingerprint=difference_hash(miniature),
        thumbnail=thumbnail(miniature),
    )
