"""Bars: the model against its baselines, and what each split holds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures.style import (
    INK,
    elide_all,
    legend_below,
    new_figure,
    plain_axes,
    series_colours,
    split_colours,
    text_colour,
)
from goodbad_pipeline.evaluation.metrics import LOWER_IS_BETTER

_SPELLED = {
    "balanced_accuracy": "balanced\naccuracy",
    "f1_macro": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average\nprecision",
    "brier": "Brier",
    "ece": "ECE",
}


def metrics_figure(comparison: pd.DataFrame) -> Figure:
    """Draw one group of bars per metric, one bar per model; losses, where lower is better, have a panel of their own.

    Args:
        comparison: what `comparison_table` makes: column `metric`, then one per model, ours first.

    Raises:
        InputError: for a table without metrics or models.
    """
    models = [str(column) for column in comparison.columns if column != "metric"]
    if "metric" not in comparison.columns or comparison.empty or not models:
        raise InputError(
            f"comparison: columns {', '.join(map(str, comparison.columns))}; give metric and one per model"
        )
    lower = comparison["metric"].isin(LOWER_IS_BETTER)
    parts = [(part, label) for part, label in ((comparison[~lower], "Score"), (comparison[lower], "Loss")) if len(part)]
    names = elide_all(models, 30)
    figure = new_figure(4.8)
    ratios = [len(part) + 0.4 for part, _ in parts]
    panels = figure.subplots(1, len(parts), squeeze=False, width_ratios=ratios)[0]
    for axes, (part, label) in zip(panels, parts, strict=True):
        _draw_metrics(axes, part, models, label)
    figure.suptitle("Model against baselines" if len(models) > 1 else "Metrics", fontsize=13, color=INK)
    legend_below(figure, series_colours(names))
    return figure


def split_figure(counts: pd.DataFrame) -> Figure:
    """Draw how many pictures and groups of each class lie in each split.

    Args:
        counts: one row per split and label: split, label, images, groups.

    Raises:
        InputError: for a missing column, or no rows.
    """
    missing = [column for column in ("split", "label", "images", "groups") if column not in counts.columns]
    if missing or counts.empty:
        raise InputError(f"counts: no {', '.join(missing) or 'rows'}; give split, label, images and groups")
    labels = list(dict.fromkeys(counts["label"].astype(str)))
    colours = split_colours(_split_order(counts))
    figure = new_figure(2.2 + 0.45 * max(2, len(labels)))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, measure, unit in zip(panels, ("images", "groups"), ("Pictures", "Groups"), strict=True):
        _draw_splits(axes, counts, measure, colours)
        plain_axes(axes, title=f"{unit}: {int(counts[measure].sum()):,}", x=unit, grid="x")
    panels[0].set_yticks(range(len(labels)), elide_all(labels, 26))
    panels[0].set_ylabel("Class", fontsize=11, color=INK)
    panels[0].invert_yaxis()
    legend_below(figure, colours)
    return figure


def _draw_metrics(axes: Axes, part: pd.DataFrame, models: list[str], label: str) -> None:
    width = 0.8 / len(models)
    slant = 90 if len(models) > 4 else 0
    for index, (model, colour) in enumerate(series_colours(models).items()):
        values = part[model].to_numpy(dtype=np.float64)
        places = np.arange(len(part)) + (index - (len(models) - 1) / 2) * width
        bars = axes.bar(places, np.nan_to_num(values), width * 0.92, color=colour)
        texts = ["n/a" if np.isnan(value) else f"{value:.2f}" for value in values]
        axes.bar_label(bars, texts, fontsize=10 - slant / 45, color=INK, padding=3, rotation=slant)
    plain_axes(axes, x="Lower is better" if label == "Loss" else "Higher is better", y=label, grid="y")
    axes.set_xticks(range(len(part)), [_SPELLED.get(metric, metric.replace("_", " ")) for metric in part["metric"]])
    axes.set_xlim(-0.5, len(part) - 0.5)
    axes.margins(y=0.12)
    if label == "Score":
        axes.set_ylim(0, 1.12)


def _split_order(counts: pd.DataFrame) -> list[str]:
    found = list(dict.fromkeys(counts["split"].astype(str)))
    usual = [split for split in ("train", "validation", "test") if split in found]
    return usual + [split for split in found if split not in usual]


def _draw_splits(axes: Axes, counts: pd.DataFrame, measure: str, colours: dict[str, str]) -> None:
    labels = list(dict.fromkeys(counts["label"].astype(str)))
    table = counts.astype({"split": str, "label": str}).pivot_table(
        index="label", columns="split", values=measure, aggfunc="sum", fill_value=0
    )
    table = table.reindex(index=labels, columns=list(colours), fill_value=0)
    longest = table.sum(axis=1).max()
    left = np.zeros(len(labels))
    for split, colour in colours.items():
        values = table[split].to_numpy(dtype=np.float64)
        bars = axes.barh(np.arange(len(labels)), values, left=left, color=colour, height=0.72)
        texts = [_if_it_fits(f"{value:,.0f}", value / longest if longest else 0.0) for value in values]
        axes.bar_label(bars, texts, label_type="center", fontsize=10, color=text_colour(colour))
        left = left + values


def _if_it_fits(text: str, share: float) -> str:
    """Give the text back where a bar of this share of the panel's width holds it; a digit takes some 2.4 %."""
    return text if share > 0.012 + 0.024 * len(text) else ""
