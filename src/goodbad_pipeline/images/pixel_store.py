"""Decoded images on disk, one file a transform: what is there already is never decoded again.

A store is a folder with ``pixels.bin``, row after row of uint8, and ``image_ids.bin``, 64 hexadecimal digits a row.
Rows are only ever added, pixels first, so that whenever a run is interrupted, all rows that have an identity are whole,
and the next run goes on behind them.

Beside them, ``states.npy`` holds the state of each row's file when it last had the row's SHA-256. A file in another
state is hashed again before its row is used, so that what changed or went away is noticed though nothing is decoded;
without this file all are.
"""

import hashlib
import json
import logging
import os
import shutil
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
from goodbad_pipeline.images.paths import State, are_settled, find_states
from goodbad_pipeline.images.pixels import Pixels, PixelSource, Transform

logger = logging.getLogger(__name__)

VERSION = 2  # raise it when the code changes what an image becomes: stored pixels are then made again
ID_BYTES = 64
UNKNOWN = -1  # in place of a state: this file is hashed again
COMMIT = 8  # blocks between two moments at which what is decoded is safe


def open_pixels(folder: Path, source: PixelSource) -> Pixels:
    """Give the images of ``source``: from the store for its transform, filled as far as need be, or streamed.

    Args:
        folder: Where stores lie, one for each transform; it may be removed at any time.
        source: The images.

    Returns:
        The store's images, which may be more than those of ``source``, memory-mapped; or, where a cache would not fit
        the budget or the disk, the images of ``source``, each decoded whenever it is read.

    Raises:
        InputError: A file changed or went away since ingestion.
    """
    if not source.fits:
        return source.streamed()
    folder.mkdir(parents=True, exist_ok=True)
    store = PixelStore(folder, source.transform)
    with FileLock(folder / ".lock"):
        if not store.make_room(source):
            logger.warning("Streaming %d images: the disk has no room for them in %s", source.shape[0], folder)
            return source.streamed()
        states = find_states(source.root, source.paths)  # before any is read: what changes later has another one
        store.check(source, states)
        store.fill(source)
        store.keep(source, states)
        return store.pixels()


class PixelStore:
    """The images that went through one transform.

    Args:
        folder: Where stores lie, one for each transform.
        transform: What images go through.
    """

    def __init__(self, folder: Path, transform: Transform) -> None:
        side = transform.resolution
        self.folder = folder / f"{side}px-{_digest(transform)}"
        self._transform = transform
        self._shape = (side, side, 3)
        self._row = side * side * 3
        self._pixels, self._ids = self.folder / "pixels.bin", self.folder / "image_ids.bin"
        self._states = self.folder / "states.npy"

    def exists(self) -> bool:
        """Whether anything is stored."""
        return self._pixels.is_file() and self._ids.is_file()

    def __len__(self) -> int:
        """Images that are stored whole."""
        if not self.exists():
            return 0
        return min(self._ids.stat().st_size // ID_BYTES, self._pixels.stat().st_size // self._row)

    def image_ids(self) -> np.ndarray:
        """Identities of the rows, bytes of 64 hexadecimal digits each."""
        return np.fromfile(self._ids, f"S{ID_BYTES}", len(self)) if len(self) else np.empty(0, f"S{ID_BYTES}")

    def pixels(self) -> Pixels:
        """The images, memory-mapped read-only."""
        shape = (len(self), *self._shape)
        return Pixels(self.image_ids(), np.memmap(self._pixels, np.uint8, "r", shape=shape), self._transform)

    def missing(self, source: PixelSource) -> PixelSource:
        """What of ``source`` is not stored."""
        return source.without(set(self.image_ids().tolist()))

    def check(self, source: PixelSource, states: np.ndarray) -> None:
        """Hold the files of what is stored against their SHA-256, where they are in another state than they were.

        Args:
            source: The images.
            states: Of their files now, int64 of shape (n, 4).

        Raises:
            InputError: A file changed or went away since ingestion.
        """
        rows = self._rows(source)
        known = self._known_states()[rows] if len(self) else states
        doubtful = np.flatnonzero((rows >= 0) & (known != states).any(axis=1))
        if len(doubtful):
            logger.info("Hashing %d cached images again: the state of their files is new", len(doubtful))
            source.check(doubtful.tolist())

    def keep(self, source: PixelSource, states: np.ndarray) -> None:
        """Remember the states that the files of ``source`` had when they were found to be what they were."""
        known, rows = self._known_states(), self._rows(source)
        after = known.copy()
        after[rows] = np.where(are_settled(states)[:, None], states, UNKNOWN)
        if not np.array_equal(after, known):
            with atomic_write(self._states) as draft, draft.open("wb") as file:
                np.save(file, after)

    def _rows(self, source: PixelSource) -> np.ndarray:
        """Row of each image, −1 where it is not stored."""
        return pd.Index(self.image_ids()).get_indexer(pd.Index(np.array(source.image_ids, f"S{ID_BYTES}")))

    def _known_states(self) -> np.ndarray:
        states = np.full((len(self), len(State._fields)), UNKNOWN)
        try:
            found = np.load(self._states)[: len(self)]
            states[: len(found)] = found
        except (OSError, ValueError, EOFError):  # none yet, or a power cut left half of it
            pass
        return states

    def fill(self, source: PixelSource) -> None:
        """Decode every image of ``source`` that is not stored, and add it."""
        kept, missing = len(self), self.missing(source)
        count = len(missing.paths)
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)  # in use
        if kept and count:
            logger.info("Decoding %d images; %d of them are in the cache", len(source.paths), len(source.paths) - count)
        with writing(self._pixels):
            for file, size in ((self._pixels, kept * self._row), (self._ids, kept * ID_BYTES)):
                file.touch()
                os.truncate(file, size)  # an interrupted run leaves something behind the last whole row
            self._append(missing)

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

    def make_room(self, source: PixelSource) -> bool:
        """Keep all stores together within the budget.

        What goes first is the stores of other transforms, those longest unused before the others; then this one, where
        images that are gone fill it.

        Returns:
            Whether the disk has room for what is missing.
        """
        others = [path for path in self.folder.parent.glob("*px-*") if path != self.folder]
        for store in [*sorted(others, key=lambda path: path.stat().st_mtime), self.folder]:
            wanted = len(self.missing(source).paths) * self._row
            if source.budget is None or _size(self.folder.parent) + wanted <= source.budget:
                break
            shutil.rmtree(store, ignore_errors=True)
        return len(self.missing(source).paths) * self._row < shutil.disk_usage(self.folder.parent).free


def _digest(transform: Transform) -> str:
    """What stored pixels depend on beside the file; a limit on what is decoded changes no pixel."""
    decides = {name: value for name, value in asdict(transform).items() if name not in ("max_pixels", "tiff")}
    decoders = {"pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    content = json.dumps({**decides, "version": VERSION, **decoders}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*px-*/pixels.bin"))


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())
