"""From labels to train, validation and test."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.near_duplicates import thumbnail_levels
from goodbad_pipeline.images.pixels import pixel_source
from goodbad_pipeline.images.split_leakage import OURS, PLAIN, measure_leaks
from goodbad_pipeline.images.splits import SPLITS, class_names, count_splits, split_labels
from goodbad_pipeline.params import ImageParams, SplitParams

logger = logging.getLogger(__name__)

SHEET_SIDE = 96
SHEET_IMAGES = 24
SHEET_CLASSES = 20


def assign_splits(labels: pd.DataFrame, splits: SplitParams) -> pd.DataFrame:
    """Give every image its side, whole groups at a time."""
    return split_labels(labels, splits.settings)


def report_splits(splits: pd.DataFrame, parameters: SplitParams) -> tuple[pd.DataFrame, figures.Figure]:
    """Count images and groups per split and class, as a table and a figure, and say how far off the wish they are."""
    counts = count_splits(splits)
    if splits["source_split"].isna().all():
        wished = counts["split"].map(parameters.settings.shares)
        off = counts.assign(wished=wished, off=(counts["class_share"] - wished).abs())
        worst = off.nlargest(1, "off").iloc[0]
        logger.log(
            logging.WARNING if worst["off"] > parameters.tolerance else logging.INFO,
            "Of class '%s' %.1f %% are in %s, %.1f %% were asked for; no other class and split is further off "
            "(splits.tolerance: %.1f points)",
            *(worst["label"], 100 * worst["class_share"], worst["split"], 100 * worst["wished"]),
            100 * parameters.tolerance,
        )
    return counts, figures.split_figure(counts)


def report_leaks(
    images: pd.DataFrame, splits: pd.DataFrame, parameters: SplitParams
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Say what a plain random split would have leaked: a table, and metrics for the run."""
    rows = pc.index_in(pa.array(splits["path"]), value_set=pa.array(images["path"])).to_numpy()
    report = measure_leaks(splits, lambda places: thumbnail_levels(images["thumbnail"], rows[places]), parameters.seed)
    plain, ours = (report.table.set_index("split").loc[name] for name in (PLAIN, OURS))
    logger.info(
        "A plain random split would have had %d of %d test images with a copy in train, %d with one of their group; "
        "in this split it is %d and %d",
        *plain[["copy_in_train", "test_images", "group_in_train"]],
        *ours[["copy_in_train", "group_in_train"]],
    )
    logger.info(
        "What the leak is worth: naming a test image like its nearest training image is right in %.1f %% there, in "
        "%.1f %% here",
        100 * plain["nearest_accuracy"],
        100 * ours["nearest_accuracy"],
    )
    return report.table, report.metrics


def draw_split_sheets(splits: pd.DataFrame, images: ImageParams) -> dict[str, figures.Figure]:
    """Show a few images of each class and split, of as many groups as there are: a figure each, by file name."""
    names = class_names(splits)
    if len(names) > SHEET_CLASSES:
        logger.info("Sheets show the first %d of %d classes", SHEET_CLASSES, len(names))
    sheets = {}
    for number, label in enumerate(names[:SHEET_CLASSES]):
        spelled = re.sub(r"[^\w-]+", "_", label)[:40]
        for split in SPLITS:
            part = splits[(splits["split"] == split) & (splits["label"] == label)]
            sheets[f"{split}_{number}_{spelled}.png"] = _draw_sheet(part, f"{split}, {label}", split, images)
    return sheets


def _draw_sheet(part: pd.DataFrame, name: str, split: str, images: ImageParams) -> figures.Figure:
    turn = part.groupby("group").cumcount()
    shown = part.loc[turn.sort_values(kind="stable").index].drop_duplicates("image_id").head(SHEET_IMAGES)
    pixels = pixel_source(shown, Path(images.root), images.transform(SHEET_SIDE)).streamed().array[:]
    title = f"{name}: {len(shown)} of {len(part)} images, {part['group'].nunique()} groups"
    frames = [figures.split_colours(SPLITS)[split]] * len(shown)
    return figures.contact_sheet(pixels, shown["group"].tolist(), columns=8, title=title, frames=frames)
