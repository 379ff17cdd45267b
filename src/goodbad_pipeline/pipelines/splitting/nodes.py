"""From labels to train, validation and test."""

import logging

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.figures import split_figure
from goodbad_pipeline.images.leaks import OURS, PLAIN, measure_leaks
from goodbad_pipeline.images.splits import count_splits, split_labels
from goodbad_pipeline.params import SplitParams

logger = logging.getLogger(__name__)


def assign_splits(labels: pd.DataFrame, splits: SplitParams) -> pd.DataFrame:
    """Give every picture its side, whole groups at a time."""
    return split_labels(labels, splits.division)


def report_splits(splits: pd.DataFrame, parameters: SplitParams) -> tuple[pd.DataFrame, Figure]:
    """Count pictures and groups per split and class, as a table and a figure, and say how far off the wish they are."""
    counts = count_splits(splits)
    if splits["source_split"].isna().all():
        wished = counts["split"].map(parameters.division.shares)
        off = counts.assign(wished=wished, off=(counts["class_share"] - wished).abs())
        worst = off.nlargest(1, "off").iloc[0]
        logger.log(
            logging.WARNING if worst["off"] > parameters.tolerance else logging.INFO,
            "Of class '%s' %.1f %% are in %s, %.1f %% were asked for; no other class and split is further off "
            "(splits.tolerance: %.1f points)",
            *(worst["label"], 100 * worst["class_share"], worst["split"], 100 * worst["wished"]),
            100 * parameters.tolerance,
        )
    return counts, split_figure(counts)


def report_leaks(
    images: pd.DataFrame, splits: pd.DataFrame, parameters: SplitParams
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Say what a plain random split would have leaked: a table, and metrics for the run."""
    looks = images.set_index("path")["thumbnail"].reindex(splits["path"])
    thumbnails = np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), -1)
    report = measure_leaks(splits, thumbnails, parameters.seed)
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
