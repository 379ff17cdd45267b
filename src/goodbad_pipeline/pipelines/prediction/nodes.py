"""Nodes that classify files with a registered model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import counted, two_digits
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.paths import printable, read_inside
from goodbad_pipeline.images.pixels import transform_image
from goodbad_pipeline.images.rejections import Rejection
from goodbad_pipeline.images.sources import open_source
from goodbad_pipeline.images.worker_backend import WorkerBackend
from goodbad_pipeline.params import ImageParams, PredictParams, RegistryParams
from goodbad_pipeline.registry.models import find_model, read_parameter, record_use
from goodbad_pipeline.registry.reference import ModelReference
from goodbad_pipeline.serving.batch_prediction import PREFIX, PredictionStream, Workers

logger = logging.getLogger(__name__)

THUMBNAIL = 128
QUARANTINE = ["path", "reason", "detail", "image_id"]


def predict_files(predict: PredictParams, images: ImageParams, registry: RegistryParams) -> PredictionStream:
    """Find the files and load the model. The files are read later, while the predictions are saved."""
    backend = WorkerBackend(predict.engine, predict.engine_options, parameter="predict.engine")
    backend.register()
    paths = open_source(predict.source, images.columns.path)
    model = find_model(registry.name, predict.version, predict.backend)
    record_use(model)
    logger.info("Predicting %s with %s version %s on %s", predict.source, model.name, model.version, model.backend)
    logger.info(
        "The model was trained on %s and predicts %s; to use another model, set registry.name and predict.version",
        read_parameter(model, "images.root") or "unknown images",
        " or ".join(model.class_names),
    )
    workers = None if backend.is_local else Workers(backend, ModelReference.of(model).load)
    return PredictionStream(paths, model.classifier, workers)


@dataclass(frozen=True)
class _Quarantined:
    predictions: Iterable[pd.DataFrame]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for part in self.predictions:
            yield part.loc[part["reason"].notna(), QUARANTINE]


def separate_quarantine(predictions: Iterable[pd.DataFrame]) -> tuple[Iterable[pd.DataFrame], Iterable[pd.DataFrame]]:
    """Return the predictions of all files, and the rows of the quarantined files."""
    return predictions, _Quarantined(predictions)


def summarise_predictions(predictions: Iterable[pd.DataFrame]) -> dict[str, float]:
    """Return counts of files, and how many files per second were read, decoded and predicted."""
    counts = pd.Series(0.0, ["files", "quarantined", "abstained", "seconds"])
    reasons: Counter[str] = Counter()
    first: dict[str, str] = {}  # the first path by reason
    for part in predictions:
        quarantined = part[part["reason"].notna()]
        counts += [len(part), len(quarantined), part["abstained"].sum(), part["milliseconds"].sum() / 1000]
        reasons.update(quarantined["reason"])
        for row in quarantined.drop_duplicates("reason").itertuples():
            first.setdefault(str(row.reason), str(row.path))
    speed = counts["files"] / counts["seconds"] if counts["seconds"] else 0.0
    logger.info(
        "%s = %d predicted + %d quarantined; abstentions: %d; files per second: %s",
        counted(counts["files"], "file"),
        counts["files"] - counts["quarantined"],
        counts["quarantined"],
        counts["abstained"],
        two_digits(speed),
    )
    for reason, count in reasons.items():
        logger.info("  quarantined as %s: %d (first: %s)", reason, count, printable(first[reason]))
    return {f"predict_{name}": float(value) for name, value in counts.items()} | {"predict_files_per_second": speed}


def draw_predictions(
    predictions: Iterable[pd.DataFrame], predict: PredictParams, images: ImageParams
) -> figures.Figure:
    """Draw a random sample of the predictions."""
    total, chosen = _draw_rows(predictions, predict.sheet, predict.seed)
    root = open_source(predict.source, images.columns.path).root.resolve()
    transform = images.transform(THUMBNAIL)
    thumbnails, captions, frames = [], [], []
    colours = figures.class_colours([name.removeprefix(PREFIX) for name in chosen.columns if name.startswith(PREFIX)])
    for row in chosen.to_dict("records"):
        data = read_inside(root, row["path"]).content
        if not isinstance(data, Rejection):
            # The model has accepted these files within its limits for images, so no limits are needed here.
            thumbnails.append(transform_image(data, replace(transform, max_pixels=2**62, tiff=True)))
            caption = "abstained" if row["abstained"] else row["label"]
            captions.append(f"{row['path']}\n{caption}, {row['probability']:.0%}")
            frames.append(colours[row["label"]])
    pixels = np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL, 3)
    title = f"{len(pixels)} of {total:,} predictions"
    return figures.contact_sheet(pixels, captions, columns=6, title=title, frames=frames, legend=colours)


def _draw_rows(predictions: Iterable[pd.DataFrame], count: int, seed: int) -> tuple[int, pd.DataFrame]:
    """Return the number of predictions, and a random sample of at most ``count`` predictions."""
    rng = np.random.default_rng(seed)
    total, kept = 0, pd.DataFrame()
    for part in predictions:
        good = part[part["reason"].isna()]
        total += len(good)
        kept = pd.concat([kept, good.assign(key=rng.random(len(good)))]).nsmallest(count, "key")
    return total, kept.drop(columns="key").sort_values("path")
