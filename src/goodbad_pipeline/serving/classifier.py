"""A model with all it takes to answer about a file: decoder, class names, and how its probabilities are read."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.decode import Rejected
from goodbad_pipeline.images.pixels import Transform, load_image
from goodbad_pipeline.images.reasons import Rejection
from goodbad_pipeline.serving.archive import load_archive

COLUMNS = ["label", "probability", "probabilities", "abstained", "reason", "detail"]
BATCHES = (1, 4, 16, 64)
"""Images that the model is asked about at once; every other number would cost the building of another graph."""
ARCHIVE, FACTS = "model.keras", "facts.json"


@dataclass(frozen=True)
class Facts:
    """What is recorded beside the archive.

    Attributes:
        transform: What an image goes through before the model.
        calibration: Class names, and how probabilities are read.
        digest: SHA-256 of the archive.
    """

    transform: Transform
    calibration: Calibration
    digest: str

    def write(self, file: Path) -> None:
        """Write them as JSON."""
        values = {
            "transform": asdict(self.transform),
            "calibration": self.calibration.to_dict(),
            "digest": self.digest,
        }
        file.write_text(json.dumps(values, indent=2))

    @classmethod
    def read(cls, file: Path, digest: str | None = None) -> "Facts":
        """Read what :meth:`write` wrote.

        Raises:
            InputError: The file has another SHA-256 than the digest; None where nobody recorded one.
        """
        data = file.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if digest not in (None, found):
            raise InputError(f"{file}: the model's facts were changed: SHA-256 is {found}, recorded was {digest}")
        values = json.loads(data)
        red, green, blue = values["transform"].pop("background")  # JSON has lists for tuples
        transform = Transform(**values["transform"], background=(red, green, blue))
        return cls(transform, Calibration.from_dict(values["calibration"]), values["digest"])


@dataclass(frozen=True)
class Classifier:
    """Files in, answers out.

    Attributes:
        model: Pixels (n, side, side, 3), 0–255, to probabilities (n, classes).
        transform: What an image goes through before it.
        calibration: Class names, and how its probabilities are read.
    """

    model: Any
    transform: Transform
    calibration: Calibration

    def classify(self, files: Sequence[bytes | Rejection]) -> pd.DataFrame:
        """Answer about each file.

        Returns:
            A row a file, in order: label, probability (of that label), probabilities (a dictionary by class),
            abstained, reason and detail. A file that is no usable image has a reason and no label; an image has
            neither reason nor detail. What is not there is None, which JSON has a word for, never NaN.
        """
        parts = [self._classify(files[start : start + BATCHES[-1]]) for start in range(0, len(files), BATCHES[-1])]
        return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS, dtype=object)

    def _classify(self, files: Sequence[bytes | Rejection]) -> list[tuple[Any, ...]]:
        with ThreadPoolExecutor() as pool:
            pixels = list(pool.map(self.see, files))
        good = [one for one in pixels if isinstance(one, np.ndarray)]
        answers = iter(self._answers(np.stack(good)) if good else [])
        return [next(answers) if isinstance(one, np.ndarray) else _refusal(one) for one in pixels]

    def see(self, file: bytes | Rejection) -> np.ndarray | Rejected | Rejection:
        """Decode and resize a file as the model sees it: uint8 (side, side, 3), or why it is no usable image."""
        if isinstance(file, Rejection):
            return file
        return load_image(file, self.transform)

    def _answers(self, pixels: np.ndarray) -> list[tuple[Any, ...]]:
        """Answer about uint8 pixels (n, side, side, 3), n from 1 to the largest of BATCHES."""
        names = list(self.calibration.class_names)
        filling = next(size for size in BATCHES if size >= len(pixels)) - len(pixels)
        filled = np.pad(pixels, ((0, filling), (0, 0), (0, 0), (0, 0)), mode="edge")
        values = self.calibration.calibrate(np.asarray(self.model.predict_on_batch(filled))[: len(pixels)])
        rows = zip(values.tolist(), self.calibration.choose(values), self.calibration.abstain(values), strict=True)
        return [
            (names[chosen], row[chosen], dict(zip(names, row, strict=True)), bool(abstained), None, None)
            for row, chosen, abstained in rows
        ]


def _refusal(rejected: Rejected | Rejection) -> tuple[Any, ...]:
    return None, None, None, False, str(rejected.reason), rejected.detail


def load_classifier(folder: Path, digest: str | None = None, facts_digest: str | None = None) -> Classifier:
    """Load what lies in a folder as ``model.keras`` and ``facts.json``.

    Args:
        folder: The folder.
        digest: SHA-256 the archive must have according to somebody else than the folder itself.
        facts_digest: The same of the facts.

    Raises:
        InputError: Archive or facts are not the recorded ones, or the archive holds more than a plain network.
    """
    facts = Facts.read(folder / FACTS, facts_digest)
    model = load_archive(folder / ARCHIVE, digest or facts.digest)
    return Classifier(model, facts.transform, facts.calibration)
