"""Nodes that divide the labels into train, validation and test."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.near_duplicates import thumbnail_levels
from goodbad_pipeline.images.pixels import pixel_source
from goodbad_pipeline.images.split_leakage import OURS, PLAIN, measure_leaks
from goodbad_pipeline.images.splits import SPLITS, class_names, count_splits, split_labels
from goodbad_pipeline.images.stores import open_root, with_root
from goodbad_pipeline.params import ImageParams, SplitParams

logger = logging.getLogger(__name__)

THUMBNAIL = 96
IMAGES_PER_SHEET = 24
MOST_CLASSES = 20


def assign_splits(labels: pd.DataFrame, splits: SplitParams, images: ImageParams) -> pd.DataFrame:
    """Assign a split to every image. All images of a group get the same split."""
    return with_root(split_labels(labels, splits.settings), images.root)


def report_splits(splits: pd.DataFrame, parameters: SplitParams) -> tuple[pd.DataFrame, figures.Figure]:
    """Count images and groups per split and class; log the largest deviation from the requested fractions."""
    counts = count_splits(splits)
    if splits["source_split"].isna().all():
        requested = counts["split"].map(parameters.settings.shares)
        deviations = counts.assign(requested=requested, deviation=(counts["class_share"] - requested).abs())
        worst = deviations.nlargest(1, "deviation").iloc[0]
        if round(worst["deviation"], 3) == 0:
            logger.info("Every class is divided among the splits as splits.fractions requests")
            return counts, figures.split_figure(counts)
        logger.log(
            logging.WARNING if worst["deviation"] > parameters.tolerance else logging.INFO,
            "Class '%s' has %.1f %% of its images in %s instead of %.1f %%. This is the largest deviation of all "
            "classes and splits (splits.tolerance: %.1f points)",
            *(worst["label"], 100 * worst["class_share"], worst["split"], 100 * worst["requested"]),
            100 * parameters.tolerance,
        )
    return counts, figures.split_figure(counts)


def report_leaks(
    images: pd.DataFrame, splits: pd.DataFrame, parameters: SplitParams
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Compare leaks from test to train in ``splits`` with leaks in a random split; return a table and metrics.

    A test image leaks if the train split contains a copy of the image or another image of its group.
    """
    rows = pc.index_in(pa.array(splits["path"]), value_set=pa.array(images["path"])).to_numpy()
    table, metrics = measure_leaks(
        splits, lambda positions: thumbnail_levels(images["thumbnail"], rows[positions]), parameters.seed
    )
    plain, ours = (table.set_index("split").loc[name] for name in (PLAIN, OURS))
    logger.info(
        "%d test images. In a random split, %d have a copy in train and %d have an image of their group in train. "
        "In this split, %d have a copy in train and %d have an image of their group in train",
        *plain[["test_images", "copy_in_train", "group_in_train"]],
        *ours[["copy_in_train", "group_in_train"]],
    )
    logger.info(
        "Accuracy if the label of the nearest training image is predicted: %.1f %% in a random split, "
        "%.1f %% in this split",
        100 * plain["nearest_accuracy"],
        100 * ours["nearest_accuracy"],
    )
    return table, metrics


def draw_split_sheets(splits: pd.DataFrame, images: ImageParams) -> dict[str, figures.Figure]:
    """Draw a few images of each class and split, from as many groups as possible; return figures by file name."""
    names = class_names(splits)
    if len(names) > MOST_CLASSES:
        logger.info("Sheets show the first %d of %d classes", MOST_CLASSES, len(names))
    sheets = {}
    for number, label in enumerate(names[:MOST_CLASSES]):
        file_name = re.sub(r"[^\w-]+", "_", label)[:40]
        for split in SPLITS:
            part = splits[(splits["split"] == split) & (splits["label"] == label)]
            sheets[f"{split}_{number}_{file_name}.png"] = _draw_sheet(part, f"{split}, {label}", split, images)
    return sheets


def _draw_sheet(part: pd.DataFrame, name: str, split: str, images: ImageParams) -> figures.Figure:
    rank_in_group = part.groupby("group").cumcount()
    ordered = part.loc[rank_in_group.sort_values(kind="stable").index]
    shown = ordered.drop_duplicates("image_id").head(IMAGES_PER_SHEET)
    pixels = pixel_source(shown, open_root(images.root), images.transform(THUMBNAIL)).streamed().array[:]
    title = f"{name}: {len(shown)} of {len(part)} images, groups: {part['group'].nunique()}"
    colours = figures.split_colours(SPLITS)
    frames = [colours[split]] * len(shown)
    return figures.contact_sheet(pixels, shown["group"].tolist(), columns=8, title=title, frames=frames, legend=colours)


def gather_data_facts(
    ingestion_summary: dict[str, Any],
    split_counts: pd.DataFrame,
    leak_report: pd.DataFrame,
    leak_metrics: dict[str, float],
    **drawn: bytes,
) -> dict[str, Any]:
    """Gather the counts and figures (PNG in base64) that the report shows about the data."""
    return {
        "ingestion": ingestion_summary,
        "splits": split_counts.to_dict("records"),
        "leaks": {"table": leak_report.to_dict("records"), "metrics": leak_metrics},
        "figures": {name: b64encode(png).decode() for name, png in drawn.items()},
    }
