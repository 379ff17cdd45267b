"""Open every candidate once: an accepted picture, or a row of the quarantine."""

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from goodbad_pipeline.images.decode import Colour, Decoded, Rejected, decode_image
from goodbad_pipeline.images.duplicates import difference_hash, thumbnail
from goodbad_pipeline.images.reasons import QUARANTINE_COLUMNS, Reason
from goodbad_pipeline.images.sources import leaves_root

MEASURED_COLUMNS = ["image_id", "width", "height", "format", "size", "pixel_id", "fingerprint", "thumbnail"]


@dataclass(frozen=True)
class Scan:
    """What a scan found: every candidate is in exactly one of the two tables.

    Attributes:
        images: One row per accepted picture: path, label, group, source_split, the manifest's other columns, and
            image_id (SHA-256 of the file), width, height (upright, in pixels), format, size (bytes), pixel_id
            (SHA-256 of the decoded pixels), fingerprint (64-bit difference hash) and thumbnail (8 × 8 × 3 bytes).
        quarantine: One row per file set aside: path, label, reason, detail, size, image_id.
    """

    images: pd.DataFrame
    quarantine: pd.DataFrame


def scan_candidates(
    candidates: pd.DataFrame, root: Path, *, max_pixels: int, background: Colour, workers: int | None = None
) -> Scan:
    """Read, hash and decode every candidate; the source folder is only ever read.

    Args:
        candidates: Table of :func:`~goodbad_pipeline.images.sources.read_candidates`.
        root: Folder that the paths are relative to.
        max_pixels: Largest width × height that is accepted.
        background: RGB under transparent pixels.
        workers: Threads; Pillow's decoders release the interpreter lock. None for one per core and a few more.
    """
    repeated = candidates["path"].notna() & candidates["path"].duplicated()
    reader = _Reader(root.resolve(), max_pixels, background)
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(reader.read, candidates["path"], candidates["label"], repeated)
        found = list(_with_progress(results, len(candidates)))
    accepted = [isinstance(result, dict) for result in found]
    measured = pd.DataFrame([result for result in found if isinstance(result, dict)], columns=MEASURED_COLUMNS)
    images = candidates[accepted].rename(columns={"split": "source_split"}).reset_index(drop=True)
    return Scan(images.join(measured), _quarantine_table(candidates, found))


@dataclass(frozen=True)
class SetAside:
    """One file that is not accepted."""

    reason: Reason
    detail: str
    size: int | None = None
    image_id: str | None = None


@dataclass(frozen=True)
class _Reader:
    root: Path
    max_pixels: int
    background: Colour

    def read(self, path: str | None, label: str | None, repeated: bool) -> dict[str, object] | SetAside:
        if path is None:
            return SetAside(Reason.MISSING, "the manifest's row has no path")
        if repeated:
            return SetAside(Reason.LISTED_TWICE, "an earlier row of the manifest has the same path")
        data = self._bytes(path)
        if isinstance(data, SetAside):
            return data
        image_id = hashlib.sha256(data).hexdigest()
        decoded = decode_image(data, max_pixels=self.max_pixels, background=self.background)
        if isinstance(decoded, Rejected):
            return SetAside(decoded.reason, decoded.detail, len(data), image_id)
        if label is None:
            return SetAside(Reason.NO_LABEL, "in no class folder, or its label is empty", len(data), image_id)
        return _measure(decoded, image_id, len(data))

    def _bytes(self, path: str) -> bytes | SetAside:
        if leaves_root(path):
            return SetAside(Reason.OUTSIDE_ROOT, "a path must be relative to images.root and hold no '..'")
        try:
            file = (self.root / path).resolve()
            if not file.is_relative_to(self.root):
                return SetAside(Reason.OUTSIDE_ROOT, "a link that leaves images.root")
            if not stat.S_ISREG(os.stat(file).st_mode):
                return SetAside(Reason.NOT_A_FILE, "not a regular file")
            return file.read_bytes()
        except FileNotFoundError:
            return SetAside(Reason.MISSING, "no such file in images.root")
        except (OSError, RuntimeError, ValueError) as error:
            return SetAside(Reason.UNREADABLE, f"{type(error).__name__}: {error}")


def _measure(decoded: Decoded, image_id: str, size: int) -> dict[str, object]:
    height, width, _ = decoded.pixels.shape
    return {
        "image_id": image_id,
        "width": width,
        "height": height,
        "format": decoded.format,
        "size": size,
        "pixel_id": hashlib.sha256(f"{width}x{height}".encode() + decoded.pixels.tobytes()).hexdigest(),
        "fingerprint": difference_hash(decoded.pixels),
        "thumbnail": thumbnail(decoded.pixels),
    }


def _quarantine_table(candidates: pd.DataFrame, found: list[dict[str, object] | SetAside]) -> pd.DataFrame:
    rows = [
        (path, label, str(result.reason), result.detail, result.size, result.image_id)
        for path, label, result in zip(candidates["path"], candidates["label"], found, strict=True)
        if isinstance(result, SetAside)
    ]
    return pd.DataFrame(rows, columns=QUARANTINE_COLUMNS).astype({"size": "Int64"})


def _with_progress(results: Iterator, total: int) -> Iterator:
    return iter(tqdm(results, total=total, desc="Scanning", unit="file", mininterval=0.5, disable=None))
