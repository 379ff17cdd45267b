"""Open every candidate once: an accepted image, or a row of the quarantine."""

import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from goodbad_pipeline.images.decode import Colour
from goodbad_pipeline.images.paths import State, find_states
from goodbad_pipeline.images.progress import Progress
from goodbad_pipeline.images.reading import Limits, Measured, ReadSettings, Task, Unchanged
from goodbad_pipeline.images.reasons import PASSING, QUARANTINE_COLUMNS, Reason
from goodbad_pipeline.images.scan_cache import ScanCache
from goodbad_pipeline.images.workers import Engine, read_batches

MEASURED_COLUMNS = [field.name for field in fields(Measured)]
BATCH = 64  # files that a worker reads before it is asked again
_NO_ROW = -1
_STATES = 65_536  # files whose state is held at a time


@dataclass(frozen=True)
class Scan:
    """What a scan found: every candidate is in exactly one of the two tables.

    Attributes:
        images: One row per accepted image: path, label, group, source_split, the manifest's other columns, and
            image_id (SHA-256 of the file), width, height (upright, in pixels), format, animated, size (bytes), pixel_id
            (BLAKE3 of the decoded pixels), fingerprint (64-bit difference hash) and thumbnail (RGB bytes).
        quarantine: One row per file set aside: path, label, reason, detail, size, image_id.
    """

    images: pd.DataFrame
    quarantine: pd.DataFrame


def scan_candidates(
    candidates: pd.DataFrame,
    root: Path,
    *,
    max_pixels: int,
    background: Colour,
    tiff: bool = False,
    limits: Limits | None = None,
    engine: Engine | None = None,
    journal: Path | None = None,
    trust_timestamps: bool = True,
) -> Scan:
    """Read, hash and decode every candidate; the source folder is only ever read.

    Args:
        candidates: Table of :func:`~goodbad_pipeline.images.sources.read_candidates`.
        root: Folder that the paths are relative to.
        max_pixels: Largest width × height that is accepted.
        background: RGB under transparent pixels.
        tiff: Whether TIFF is accepted.
        limits: What one file may cost.
        engine: Who reads them; None for one process per core of this machine.
        journal: Folder that keeps what was found, so that the next scan reads only what it has to; None keeps nothing.
        trust_timestamps: Whether a file with the size, times and inode that it had is the one that it was. False
            hashes every file again and decodes those that changed.
    """
    settings = ReadSettings(root.resolve(), max_pixels, background, tiff, limits or Limits())
    with tempfile.TemporaryDirectory() as temporary, ScanCache(journal or Path(temporary), settings) as record:
        scan = _Scanner(candidates, settings, record)
        scan.recall(trust_timestamps)
        scan.read(engine or Engine())
        return scan.tables()


class _Scanner:
    """A scan under way: ``rows`` is each candidate's row of the journal, −1 as long as it has none."""

    def __init__(self, candidates: pd.DataFrame, settings: ReadSettings, journal: ScanCache) -> None:
        self._candidates = candidates.reset_index(drop=True)
        self._settings, self._journal = settings, journal
        self._named = self._candidates["path"].notna().to_numpy()
        self._paths = self._candidates["path"].tolist()
        self._repeated = self._named & self._candidates["path"].duplicated().to_numpy()
        self._rows = np.full(len(candidates), _NO_ROW)
        self._hashes: dict[int, str] = {}

    def recall(self, trust_timestamps: bool) -> None:
        """Take from the journal what is still true; or, without trust, the hashes to compare with."""
        known = self._journal.find(pa.array(self._paths, pa.string(), from_pandas=True))
        places = np.flatnonzero((known != _NO_ROW) & ~self._repeated)
        if trust_timestamps:
            places = places[self._is_unchanged(places, known[places])]
        else:
            facts = self._journal.read(known[places], ["image_id", "reason"]).to_pandas()
            usable = (facts["image_id"].notna() & ~facts["reason"].isin(PASSING)).to_numpy()
            places = places[usable]
            self._hashes = dict(zip(places.tolist(), facts["image_id"][usable], strict=True))
        self._rows[places] = known[places]

    def _is_unchanged(self, places: np.ndarray, rows: np.ndarray) -> np.ndarray:
        facts = self._journal.read(rows, list(State._fields))
        then = np.stack([column.fill_null(_NO_ROW).to_numpy() for column in facts.columns], axis=1)
        same = np.zeros(len(places), bool)
        for start in range(0, len(places), _STATES):
            part = slice(start, start + _STATES)
            states = find_states(self._settings.root, [self._paths[place] for place in places[part]])
            same[part] = (states == then[part]).all(axis=1)
        return same

    def read(self, engine: Engine) -> None:
        """Read what is left, and write down what it is."""
        asked = self._named & ~self._repeated
        left = [int(place) for place in np.flatnonzero(asked) if self._rows[place] == _NO_ROW or place in self._hashes]
        batches = [left[start : start + BATCH] for start in range(0, len(left), BATCH)]
        tasks = ([Task(self._paths[place], self._hashes.get(place)) for place in batch] for batch in batches)
        with Progress(len(left), known=int(asked.sum()) - len(left)) as progress:
            for places, outcomes in zip(batches, read_batches(tasks, self._settings, engine), strict=True):
                for place, outcome in zip(places, outcomes, strict=True):
                    if not isinstance(outcome.result, Unchanged):
                        self._rows[place] = self._journal.append(self._paths[place], outcome)
                progress.advance(len(places))
        self._journal.flush()

    def tables(self) -> Scan:
        """Put the two tables together, one column after another: there may be millions of rows."""
        asked = self._rows != _NO_ROW
        found = self._journal.read(self._rows[asked], [*MEASURED_COLUMNS[:-1], "reason", "detail"])
        reasons = found.column("reason").to_pandas().to_numpy(object)
        unlabelled = self._candidates["label"].isna().to_numpy()
        accepted = np.zeros(len(asked), bool)
        accepted[asked] = pd.isna(reasons)
        accepted &= ~unlabelled
        quarantine = self._quarantine(accepted, asked, found)
        if not accepted[asked].all():
            found = found.filter(accepted[asked])
        return Scan(self._images(accepted, found), quarantine)

    def _images(self, accepted: np.ndarray, found: pa.Table) -> pd.DataFrame:
        images = self._candidates if accepted.all() else self._candidates[accepted].reset_index(drop=True)
        images = images.rename(columns={"split": "source_split"})
        for name in MEASURED_COLUMNS[:-1]:
            images[name] = found.column(name).to_pandas()
        thumbnails = self._journal.thumbnails(self._rows[accepted])
        images["thumbnail"] = pd.Series(thumbnails, dtype=pd.ArrowDtype(thumbnails.type))
        return images

    def _quarantine(self, accepted: np.ndarray, asked: np.ndarray, found: pa.Table) -> pd.DataFrame:
        """What is in no other table, in the order of the candidates."""
        rows = iter(found.select(["reason", "detail", "size", "image_id"]).filter(~accepted[asked]).to_pylist())
        table = []
        labels = self._candidates["label"].tolist()
        for place in np.flatnonzero(~accepted):
            if self._repeated[place]:
                why = {"reason": Reason.LISTED_TWICE, "detail": "an earlier row of the manifest has the same path"}
            elif not self._named[place]:
                why = {"reason": Reason.MISSING, "detail": "the manifest's row has no path"}
            elif (why := next(rows))["reason"] is None:
                why = why | {"reason": Reason.NO_LABEL, "detail": "in no class folder, or its label is empty"}
            table.append({**why, "path": self._paths[place], "label": labels[place], "reason": str(why["reason"])})
        return pd.DataFrame(table, columns=QUARANTINE_COLUMNS).astype({"size": "Int64"})
