"""A classifier of image files, which combines decoding, network, class names and decision rule."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.pixels import Transform, load_image
from goodbad_pipeline.images.rejections import Rejection
from goodbad_pipeline.serving.archive import load_archive, require_digest

COLUMNS = ["label", "probability", "probabilities", "abstained", "reason", "detail"]
BATCHES = (1, 4, 16, 64)
"""Batch sizes of the network. Batches are padded to one of these sizes, because a graph is traced for each new size."""
ARCHIVE_FILE, CONFIG_FILE = "model.keras", "facts.json"


@dataclass(frozen=True)
class ClassifierConfig:
    """The transform of the images, the decision rule, and the SHA-256 of the archive with the network."""

    transform: Transform
    calibration: Calibration
    digest: str

    def write(self, file: Path) -> None:
        """Write the config as JSON."""
        file.write_text(json.dumps(asdict(self) | {"calibration": self.calibration.to_dict()}, indent=2))

    @classmethod
    def read(cls, file: Path, digest: str | None = None) -> "ClassifierConfig":
        """Read the config in a file; raise `InputError` unless ``digest`` is None or the SHA-256 of the file."""
        require_digest(file, digest, "the model's config")
        values = json.loads(file.read_bytes())
        red, green, blue = values["transform"].pop("background")  # JSON turns tuples into lists
        transform = Transform(**values["transform"], background=(red, green, blue))
        return cls(transform, Calibration(**values["calibration"]), values["digest"])


@dataclass(frozen=True)
class Classifier:
    """Decodes image files and predicts their classes."""

    model: Any  # maps pixels (n, side, side, 3), 0–255, to probabilities (n, classes)
    transform: Transform
    calibration: Calibration  # includes the class names

    def classify(self, files: Sequence[bytes | Rejection]) -> pd.DataFrame:
        """Predict the class of each file.

        Returns:
            One row per file: label, probability (of that label), probabilities (dictionary by class), abstained, reason
            and detail. A rejected file has a reason and no label. Missing values are None: JSON has no NaN.
        """
        parts = [self._classify(files[start : start + BATCHES[-1]]) for start in range(0, len(files), BATCHES[-1])]
        return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS, dtype=object)

    def _classify(self, files: Sequence[bytes | Rejection]) -> list[tuple[Any, ...]]:
        with ThreadPoolExecutor() as pool:
            pixels = list(pool.map(self.load_image, files))
        images = [one for one in pixels if isinstance(one, np.ndarray)]
        predictions = iter(self._predict(np.stack(images)) if images else [])
        return [
            next(predictions) if isinstance(one, np.ndarray) else (None, None, None, False, str(one.reason), one.detail)
            for one in pixels
        ]

    def load_image(self, file: bytes | Rejection) -> np.ndarray | Rejection:
        """Decode and resize a file; return the network's input, uint8 (side, side, 3), or why the file is rejected."""
        return file if isinstance(file, Rejection) else load_image(file, self.transform)

    def _predict(self, pixels: np.ndarray) -> list[tuple[Any, ...]]:
        """Return a row of `classify` for each image. ``pixels`` is uint8, shape (n, side, side, 3), with 1 ≤ n ≤ 64."""
        names = list(self.calibration.class_names)
        padding = next(size for size in BATCHES if size >= len(pixels)) - len(pixels)
        padded = np.pad(pixels, ((0, padding), (0, 0), (0, 0), (0, 0)), mode="edge")
        values = self.calibration.calibrate(np.asarray(self.model.predict_on_batch(padded))[: len(pixels)])
        rows = zip(values.tolist(), self.calibration.predict(values), self.calibration.abstain(values), strict=True)
        return [
            (names[predicted], row[predicted], dict(zip(names, row, strict=True)), bool(abstained), None, None)
            for row, predicted, abstained in rows
        ]


def load_classifier(folder: Path, digest: str | None = None, config_digest: str | None = None) -> Classifier:
    """Load a classifier from the files ``model.keras`` and ``facts.json`` of a folder.

    ``digest`` and ``config_digest`` are the SHA-256 of these files, as recorded outside the folder. Without ``digest``,
    the archive must match the digest in ``facts.json``. Without ``config_digest``, ``facts.json`` is not checked.

    Raises:
        InputError: A digest differs, or the archive contains anything but a plain network.
    """
    config = ClassifierConfig.read(folder / CONFIG_FILE, config_digest)
    model = load_archive(folder / ARCHIVE_FILE, digest or config.digest)
    return Classifier(model, config.transform, config.calibration)


@lru_cache(maxsize=1)
def load_once(folder: Path) -> Classifier:
    """Return the classifier of a folder, which each process loads only once.

    Spark requests the model again for each part of a table, and loading takes longer than predicting.
    """
    return load_classifier(folder)
