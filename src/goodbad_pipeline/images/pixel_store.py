"""Decoded images on disk, one store per transform, so that no image is decoded twice.

A store is a folder with ``pixels.bin`` (one image per row, uint8) and ``image_ids.bin`` (64 hexadecimal digits per
row). Rows are only appended, and pixels are written before IDs. Even after an interruption, every row with an ID is
therefore complete, and the next run continues after the last complete row.

``states.npy`` holds, for each row, the state of the image's file when its SHA-256 was last checked. If that state has
changed, the file is hashed again before its row is used. Changed and deleted files are thus detected without decoding.
Without ``states.npy``, all files are hashed.
"""

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from io import BufferedWriter
from pathlib import Path

import numpy as np
import pandas as pd
import PIL
import simplejpeg
from filelock import FileLock
from tqdm import tqdm

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import writing
from goodbad_pipeline.images.paths import FileState, are_settled, find_states
from goodbad_pipeline.images.pixels import Pixels, PixelSource, Transform

logger = logging.getLogger(__name__)

VERSION = 2  # increase it when a code change alters pixels: all images are then decoded again
ID_BYTES = 64
UNKNOWN = -1  # in place of a state; the file is then hashed again
COMMIT = 8  # blocks between two commits to disk


def open_pixels(folder: Path, source: PixelSource) -> Pixels:
    """Add missing images of ``source`` to the store of its transform, and return all images of the store.

    ``folder`` holds one store per transform and may be deleted at any time. The images are memory-mapped. If the
    disk budget of ``source`` or the free disk space is too small, nothing is stored. The result then has only the
    images of ``source``, and decodes an image whenever it is read.

    Raises:
        InputError: A file was changed or deleted since ingestion.
    """
    if not source.fits:
        return source.streamed()
    folder.mkdir(parents=True, exist_ok=True)
    store = PixelStore(folder, source.transform)
    with FileLock(folder / ".lock"):
        if not store.make_room(source):
            logger.warning("No space for %d images in %s: each image is decoded at every read", source.shape[0], folder)
            return source.streamed()
        states = find_states(source.root, source.paths)  # before reading, so that later changes are detected
        store.check(source, states)
        store.fill(source)
        store.save_states(source, states)
        return store.pixels()


class PixelStore:
    """The stored images of one transform, in a subfolder of ``folder``."""

    def __init__(self, folder: Path, transform: Transform) -> None:
        side = transform.resolution
        self.folder = folder / f"{side}px-{_digest(transform)}"
        self._transform = transform
        self._shape = (side, side, 3)
        self._row = side * side * 3
        self._pixels, self._ids = self.folder / "pixels.bin", self.folder / "image_ids.bin"
        self._states = self.folder / "states.npy"

    def __len__(self) -> int:
        """Return the number of images that were written completely."""
        if not (self._pixels.is_file() and self._ids.is_file()):
            return 0
        return min(self._ids.stat().st_size // ID_BYTES, self._pixels.stat().st_size // self._row)

    def image_ids(self) -> np.ndarray:
        """Return the IDs of the images, bytes of 64 hexadecimal digits each."""
        return np.fromfile(self._ids, f"S{ID_BYTES}", len(self)) if len(self) else np.empty(0, f"S{ID_BYTES}")

    def pixels(self) -> Pixels:
        """Return the images, memory-mapped read-only."""
        shape = (len(self), *self._shape)
        return Pixels(self.image_ids(), np.memmap(self._pixels, np.uint8, "r", shape=shape), self._transform)

    def missing(self, source: PixelSource) -> PixelSource:
        """Return the images of ``source`` that are not stored."""
        return source.without(set(self.image_ids().tolist()))

    def check(self, source: PixelSource, states: np.ndarray) -> None:
        """Hash a stored image's file again if the file's state (a row of ``states``) differs from the stored state."""
        rows = self._rows(source)
        stored = self._load_states()[rows] if len(self) else states
        changed = np.flatnonzero((rows >= 0) & (stored != states).any(axis=1))
        if len(changed):
            logger.info("Hashing %d cached image files again: their size, times or inode have changed", len(changed))
            source.check(changed.tolist())

    def save_states(self, source: PixelSource, states: np.ndarray) -> None:
        """Store the states that the files of ``source`` had when their SHA-256 was checked."""
        stored, rows = self._load_states(), self._rows(source)
        after = stored.copy()
        after[rows] = np.where(are_settled(states)[:, None], states, UNKNOWN)
        if not np.array_equal(after, stored):
            with atomic_write(self._states) as draft, draft.open("wb") as file:
                np.save(file, after)

    def fill(self, source: PixelSource) -> None:
        """Decode and append every image of ``source`` that is not stored."""
        stored, missing = len(self), self.missing(source)
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)  # marks the store as used, see make_room
        if stored and missing.paths:
            count = len(source.paths)
            logger.info("Images that are in the cache already: %d of %d", count - len(missing.paths), count)
        with writing(self._pixels):
            for file, size in ((self._pixels, stored * self._row), (self._ids, stored * ID_BYTES)):
                file.touch()
                os.truncate(file, size)  # an interrupted run may leave a fragment after the last complete row
            self._append(missing)

    def make_room(self, source: PixelSource) -> bool:
        """Delete stores until the missing images fit the budget; return True if the disk has space for them.

        Stores of other transforms are deleted first, least recently used first. If the missing images still do
        not fit, this store is deleted too, because most of its images may be of deleted files.
        """
        others = [path for path in self.folder.parent.glob("*px-*") if path != self.folder]
        for store in [*sorted(others, key=lambda path: path.stat().st_mtime), self.folder]:
            used = sum(file.stat().st_size for file in self.folder.parent.glob("*px-*/pixels.bin"))
            needed = len(self.missing(source).paths) * self._row
            if source.budget is None or used + needed <= source.budget:
                break
            shutil.rmtree(store, ignore_errors=True)
        return len(self.missing(source).paths) * self._row < shutil.disk_usage(self.folder.parent).free

    def _rows(self, source: PixelSource) -> np.ndarray:
        """Return the row of each image of ``source``, −1 if the image is not stored."""
        return pd.Index(self.image_ids()).get_indexer(pd.Index(np.array(source.image_ids, f"S{ID_BYTES}")))

    def _load_states(self) -> np.ndarray:
        states = np.full((len(self), len(FileState._fields)), UNKNOWN)
        with suppress(OSError, ValueError, EOFError):  # no file yet, or a fragment after a power cut
            stored = np.load(self._states)[: len(self)]
            states[: len(stored)] = stored
        return states

    def _append(self, source: PixelSource) -> None:
        count, done, committed = len(source.paths), 0, 0
        with (
            self._pixels.open("ab") as pixels,
            self._ids.open("ab") as ids,
            tqdm(total=count, desc="Decoding", unit="image", mininterval=0.5, disable=None) as progress,
        ):
            for number, block in enumerate(source.blocks(), start=1):
                pixels.write(block.data)
                done += len(block)
                if number % COMMIT == 0 or done == count:
                    _sync(pixels)
                    ids.write("".join(source.image_ids[committed:done]).encode("ascii"))
                    _sync(ids)
                    committed = done
                progress.update(len(block))


def _digest(transform: Transform) -> str:
    """Return a hash of versions and settings, except ``max_pixels`` and ``tiff``, which do not affect pixel values."""
    config = {name: value for name, value in asdict(transform).items() if name not in ("max_pixels", "tiff")}
    decoders = {"pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    content = json.dumps({**config, "version": VERSION, **decoders}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())
