"""Bars and matrices: metrics against baselines, split sizes, the confusion matrix, accuracy by slice."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from goodbad_pipeline.evaluation.figures import style
from goodbad_pipeline.evaluation.metrics import larger_is_better
from goodbad_pipeline.evaluation.predictions import IntArray

MAX_SLICES = 40
NO_INTERVAL = "no interval: a single group"
_METRIC_NAMES = {
    "balanced_accuracy": "balanced\naccuracy",
    "f1_macro": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average\nprecision",
    "brier": "Brier",
    "ece": "ECE",
}


def metrics_figure(comparison: pd.DataFrame) -> Figure:
    """Draw the `comparison_table`: one group of bars per metric, one bar per model.

    Metrics where lower is better have a panel of their own.
    """
    models = [str(column) for column in comparison.columns if column != "metric"]
    lower = ~comparison["metric"].map(larger_is_better)
    parts = [(part, label) for part, label in ((comparison[~lower], "Score"), (comparison[lower], "Loss")) if len(part)]
    names = style.elide_all(models, 30)
    figure = style.new_figure(1.4 + 3 * len(parts))
    panels = figure.subplots(len(parts), 1, squeeze=False)[:, 0]  # side by side, the numbers would overlap
    for axes, (part, label) in zip(panels, parts, strict=True):
        _draw_metrics(axes, part, models, label)
    figure.suptitle("Model against baselines" if len(models) > 1 else "Metrics", fontsize=13, color=style.INK)
    style.legend_below(figure, style.series_colours(names))
    return figure


def split_figure(counts: pd.DataFrame) -> Figure:
    """Draw the number of images and groups of each class in each split.

    ``counts`` has one row per split and label: split, label, images, groups.
    """
    counts = counts.astype({"split": str, "label": str})
    labels = counts["label"].unique().tolist()
    usual = [split for split in ("train", "validation", "test") if split in set(counts["split"])]
    colours = style.split_colours(dict.fromkeys([*usual, *counts["split"]]))
    figure = style.new_figure(2.2 + 0.45 * max(2, len(labels)))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, measure, unit in zip(panels, ("images", "groups"), ("Images", "Groups"), strict=True):
        _draw_splits(axes, counts, measure, colours)
        style.plain_axes(axes, title=f"{unit}: {int(counts[measure].sum()):,}", x=unit, grid="x")
    panels[0].set_yticks(range(len(labels)), style.elide_all(labels, 26))
    panels[0].set_ylabel("Class", fontsize=11, color=style.INK)
    panels[0].invert_yaxis()
    style.legend_below(figure, colours)
    return figure


def _draw_metrics(axes: Axes, part: pd.DataFrame, models: list[str], label: str) -> None:
    width = 0.8 / len(models)
    rotation = 90 if len(models) > 4 else 0
    for index, (model, colour) in enumerate(style.series_colours(models).items()):
        values = part[model].to_numpy(dtype=np.float64)
        positions = np.arange(len(part)) + (index - (len(models) - 1) / 2) * width
        bars = axes.bar(positions, np.nan_to_num(values), width * 0.92, color=colour)
        texts = ["n/a" if np.isnan(value) else f"{value:.2f}" for value in values]
        axes.bar_label(bars, texts, fontsize=10 - rotation / 45, color=style.INK, padding=3, rotation=rotation)
    style.plain_axes(axes, x="Lower is better" if label == "Loss" else "Higher is better", y=label, grid="y")
    axes.set_xticks(
        range(len(part)), [_METRIC_NAMES.get(metric, metric.replace("_", " ")) for metric in part["metric"]]
    )
    axes.set_xlim(-0.5, len(part) - 0.5)
    axes.margins(y=0.12)
    if label == "Score":
        axes.set_ylim(0, 1.12)


def _draw_splits(axes: Axes, counts: pd.DataFrame, measure: str, colours: dict[str, str]) -> None:
    table = counts.pivot_table(index="label", columns="split", values=measure, aggfunc="sum", fill_value=0)
    table = table.reindex(index=counts["label"].unique(), columns=list(colours), fill_value=0)
    longest = table.sum(axis=1).max()
    left = np.zeros(len(table))
    for split, colour in colours.items():
        values = table[split].to_numpy(dtype=np.float64)
        bars = axes.barh(np.arange(len(table)), values, left=left, color=colour, height=0.72)
        texts = [_if_it_fits(f"{value:,.0f}", value / longest if longest else 0.0) for value in values]
        axes.bar_label(bars, texts, label_type="center", fontsize=10, color=style.text_colour(colour))
        left = left + values


def _if_it_fits(text: str, share: float) -> str:
    return text if share > 0.012 + 0.024 * len(text) else ""  # a digit takes some 2.4 % of the width


def confusion_matrix_figure(y_true: IntArray, predicted: IntArray, class_names: Sequence[str]) -> Figure:
    """Draw the confusion matrix: counts, and row percentages as shades, so that the diagonal shows the recalls.

    ``y_true`` and ``predicted`` (n,) hold class indices. Up to 10 classes are legible.
    """
    counts = confusion_matrix(y_true, predicted, labels=np.arange(len(class_names)))
    accuracy = np.trace(counts) / counts.sum()
    title = f"Confusion matrix: accuracy {accuracy:.1%} on {counts.sum():,} images"
    return _matrix_figure(counts, class_names, title, "Predicted class", "True class")


def suggestion_matrix_figure(given: IntArray, suggested: IntArray, class_names: Sequence[str]) -> Figure:
    """Draw which classes are suggested instead of which labels, class indices (n,): counts and row percentages."""
    counts = confusion_matrix(given, suggested, labels=np.arange(len(class_names)))
    title = f"Suggested labels: another class for {counts.sum() - np.trace(counts):,} of {counts.sum():,} images"
    return _matrix_figure(counts, class_names, title, "Suggested class", "Label")


def _matrix_figure(counts: NDArray[np.int64], class_names: Sequence[str], title: str, x: str, y: str) -> Figure:
    classes = len(class_names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = style.new_figure(min(14.0, 4.6 + 0.4 * classes))
    axes = figure.subplots()
    image = axes.imshow(shares * 100, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    style.plain_axes(axes, title=title, x=x, y=y, grid="none")
    _name_ticks(axes, class_names)
    _write_cells(axes, counts, shares)
    figure.colorbar(image, ax=axes, label=f"Share of the {y.lower()} (%)", pad=0.02)
    if classes <= 4:  # there is room for large letters, and the report shows the figure at half its size
        for text in figure.findobj(Text):
            text.set_fontsize(1.5 * float(text.get_fontsize()))
    return figure


def _name_ticks(axes: Axes, class_names: Sequence[str]) -> None:
    names = style.elide_all(class_names, 24)
    crowded = len(names) * max(len(name) for name in names) > 70
    slanted: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(len(names)), names, **slanted)
    axes.set_yticks(range(len(names)), names)


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    size = float(np.clip(20 - 1.1 * len(counts), 7, 15))
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        percent = f"{share:.0%}" if counts[row].any() else "–"
        colour = "white" if share > 0.55 else style.INK
        axes.text(column, row, f"{count:,}\n{percent}", ha="center", va="center", fontsize=size, color=colour)


def lowest_slices(slices: pd.DataFrame) -> pd.DataFrame:
    """Return the `MAX_SLICES` slices whose intervals start lowest, in the order of ``slices``."""
    return slices if len(slices) <= MAX_SLICES else slices.loc[slices["low"].nsmallest(MAX_SLICES).index].sort_index()


def slice_names(slices: pd.DataFrame) -> list[str]:
    """Return column, value and number of images of each slice, shortened for an axis."""
    return [
        f"{style.elide(str(row.column), 18)}: {style.elide(str(row.value), 26)}  ({row.images})"
        for row in slices.itertuples()
    ]


def slices_figure(slices: pd.DataFrame, accuracy: float) -> Figure:
    """Draw the accuracy and interval of each slice in `lowest_slices`, and the accuracy on all images as a line.

    The accuracy is a dot, or a grey cross for a slice of a single group, which has no interval.
    """
    shown = lowest_slices(slices)
    figure = style.new_figure(1.6 + 0.26 * max(2, len(shown)))
    axes = figure.subplots()
    axes.axvline(accuracy, color=style.FAINT, linewidth=1, linestyle="--")
    positions = np.arange(len(shown)) + (shown["column"] != shown["column"].shift()).cumsum().to_numpy(float) * 0.7
    colour = style.series_colours(["model"])["model"]
    axes.hlines(positions, shown["low"], shown["high"], color=colour, alpha=0.45, linewidth=4)
    known = shown["low"].notna().to_numpy()
    axes.plot(shown["accuracy"][known], positions[known], "o", color=colour, markersize=6)
    axes.plot(shown["accuracy"][~known], positions[~known], "x", color=style.FAINT, markersize=6, label=NO_INTERVAL)
    if not known.all():
        style.legend_of(figure, axes)
    axes.set_yticks(positions, [style.literal(name) for name in slice_names(shown)])
    axes.invert_yaxis()
    note = "" if len(shown) == len(slices) else f", the {len(shown)} lowest of {len(slices)}"
    title = f"Accuracy by slice{note}; all test images {accuracy:.3f} (dashed)" if len(shown) else "No slices"
    style.plain_axes(axes, title=title, x="Accuracy with 95 % interval; images in parentheses", grid="x")
    axes.tick_params(axis="y", labelsize=9, colors=style.INK)
    axes.set_xlim(-0.02, 1.02)
    return figure
