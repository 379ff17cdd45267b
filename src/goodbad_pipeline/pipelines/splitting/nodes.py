"""From labels to train, validation and test."""

import pandas as pd
from matplotlib.figure import Figure

from goodbad_pipeline.evaluation.figures import split_figure
from goodbad_pipeline.images.splits import count_splits, split_labels
from goodbad_pipeline.params import SplitParams


def assign_splits(labels: pd.DataFrame, splits: SplitParams) -> pd.DataFrame:
    """Give every picture its side, whole groups at a time."""
    return split_labels(labels, splits.fractions.model_dump(), splits.seed)


def report_splits(splits: pd.DataFrame) -> tuple[pd.DataFrame, Figure]:
    """Count pictures and groups per split and class, as a table and a figure."""
    counts = count_splits(splits)
    return counts, split_figure(counts)
