"""Figures of experiments: ranking of networks, scaling study, learning-rate range test, hyperparameter search."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from goodbad_pipeline.evaluation.figures import style
from goodbad_pipeline.evaluation.metrics import larger_is_better

_PURPLE, _BLUE = "#7A1F5C", "#0072B2"
_LINES = {
    "depth": (_BLUE, "s"),
    "width": ("#009E73", "^"),
    "resolution": ("#E69F00", "D"),
    "compound": (_PURPLE, "o"),
}
_SHIFT = 0.022  # shifts the points of each dimension, so that intervals at equal cost do not overlap
_LARGER = slice(1, None)  # selects all points of a line but the base, which has its own marker


def ranking_figure(ranking: pd.DataFrame, trials: pd.DataFrame, title: str = "Candidates by accuracy") -> Figure:
    """Draw each network's mean validation accuracy with its interval, best on top, and every trial as a dot.

    The label ×2.00 means twice the multiply-adds of the base network. Where low or high is NaN, no interval is drawn.
    """
    rows = ranking.sort_values("rank", ignore_index=True)
    figure = style.new_figure(1.9 + 0.42 * len(rows))
    axes: Axes = figure.subplots()
    heights = pd.Series(range(len(rows)), index=rows["network"])
    if rows["low"].notna().any():
        axes.hlines(heights, rows["low"], rows["high"], color=_PURPLE, linewidth=2, label="95 % interval")
    dots = trials[trials["network"].isin(rows["network"])]
    dot_heights = dots["network"].map(heights) + 0.24
    axes.plot(dots["val_accuracy"], dot_heights, "o", color=style.FAINT, markersize=4, label="one seed")
    axes.plot(rows["accuracy"], heights, "D", color=_PURPLE, markersize=8, label="mean")
    right_of_axes = axes.get_yaxis_transform()
    for height, ratio in enumerate(rows["ratio"]):
        axes.text(1.01, height, f"×{ratio:.2f}", transform=right_of_axes, va="center", fontsize=10, color=style.INK)
    axes.text(1.01, 1.02, "operations", transform=axes.transAxes, fontsize=10, color=style.FAINT)
    style.plain_axes(axes, x="Validation accuracy", grid="x")
    axes.set_yticks(heights, style.elide_all(rows["network"].tolist(), 34))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(title, fontsize=13, color=style.INK)
    style.legend_of(figure, axes)
    return figure


def study_figure(study: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Draw accuracy against operations, with a line per enlarged dimension, next to Table 7 of the EfficientNet paper.

    The column ``dimension`` names the enlarged dimension of each network. The study must contain the base network,
    whose ``dimension`` is `base`. Where low or high is NaN, no interval is drawn; the paper has no intervals.
    """
    figure = style.new_figure(5.0)
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    _draw_lines(left, study)
    style.plain_axes(left, title="These data", x="Operations, times the base", y="Validation accuracy")
    _draw_lines(right, paper)
    style.plain_axes(
        right, title="The paper: ImageNet, B0 (Table 7)", x="Operations, times the base", y="Top-1 accuracy"
    )
    style.legend_of(figure, left)
    bars = "bars: 95 % interval" if study["low"].notna().any() else "one seed: no intervals"
    figure.suptitle(f"One dimension against all three, at equal operations ({bars})", fontsize=13, color=style.INK)
    return figure


def rate_figure(curve: pd.DataFrame, rates: Mapping[str, float]) -> Figure:
    """Draw the loss of each step of a range test against its learning rate.

    The keys of ``rates`` are ``low`` and ``high``, the limits of the range to search, and ``present``, the configured
    learning rate.
    """
    figure = style.new_figure(4.4)
    axes: Axes = figure.subplots()
    axes.axvspan(rates["low"], rates["high"], color=_BLUE, alpha=0.1, label="searched")
    axes.axvline(rates["present"], color=style.INK, linestyle="--", linewidth=1.4, label="present")
    axes.plot(curve["learning_rate"], curve["loss"], color=style.FAINT, linewidth=1, label="loss of a step")
    axes.plot(curve["learning_rate"], curve["smoothed"], color=_PURPLE, linewidth=2.2, label="smoothed")
    axes.set_xscale("log")
    _limit_rise(axes, curve["smoothed"])
    style.plain_axes(axes, x="Learning rate, for 256 images per step", y="Training loss")
    figure.suptitle("Range test: up to which learning rate the loss falls", fontsize=13, color=style.INK)
    style.legend_of(figure, axes)
    return figure


def search_figure(trials: pd.DataFrame, finals: pd.DataFrame, metric: str) -> Figure:
    """Draw each trial's metric in the order of the search, and each finalist's metric for each seed.

    Finalists are trials that were trained again from several seeds. The metric of an incomplete trial may be NaN.
    """
    figure = style.new_figure(5.0)
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    _draw_trials(left, trials, metric)
    _draw_finals(right, finals, metric)
    better = "more is better" if larger_is_better(metric) else "less is better"
    figure.suptitle(f"Search for parameters by {metric} on validation ({better})", fontsize=13, color=style.INK)
    style.legend_of(figure, left)
    return figure


def _draw_lines(axes: Axes, table: pd.DataFrame) -> None:
    base = table[table["dimension"] == "base"].iloc[:1]
    drawn = [name for name in _LINES if name in set(table["dimension"])]
    for index, name in enumerate(drawn):
        rows = pd.concat([base, table[table["dimension"] == name].sort_values("ratio")])
        # All points but the base are shifted a little, so that intervals at equal cost do not overlap.
        shift = np.where(rows["dimension"] == "base", 1.0, 2 ** (_SHIFT * (index - (len(drawn) - 1) / 2) * 2))
        x = rows["ratio"].to_numpy(dtype=np.float64) * shift
        colour, marker = _LINES[name]
        axes.plot(
            x, rows["accuracy"], color=colour, linewidth=2, marker=marker, markersize=7, markevery=_LARGER, label=name
        )
        _draw_interval(axes, rows.iloc[_LARGER], x[_LARGER], colour)
    axes.plot(base["ratio"], base["accuracy"], "o", color=style.INK, markersize=8, zorder=3, label="base")
    _draw_interval(axes, base, base["ratio"].to_numpy(dtype=np.float64), style.INK)
    axes.set_xscale("log", base=2)
    largest = table["ratio"].max()
    ticks = [2**power for power in range(int(np.floor(np.log2(largest) + 0.1)) + 1)]
    axes.set_xticks(ticks, [f"×{tick}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.9, largest * 1.12)


def _draw_interval(axes: Axes, rows: pd.DataFrame, x: np.ndarray, colour: str) -> None:
    if "low" in rows and rows["low"].notna().any():
        sides = np.vstack([rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]])
        axes.errorbar(x, rows["accuracy"], yerr=sides, fmt="none", ecolor=colour, elinewidth=1.4, capsize=4)


def _limit_rise(axes: Axes, smoothed: pd.Series) -> None:
    """Limit the y-axis, because the steep rise of the loss at the end would hide the fall at the start."""
    bottom, top = smoothed.min(), smoothed.iloc[0]
    if top - bottom < 0.05 * (smoothed.max() - bottom):
        top = smoothed.max()
    margin = 0.4 * (top - bottom) or 0.1
    axes.set_ylim(max(0.0, bottom - margin), top + margin)


def _draw_trials(axes: Axes, trials: pd.DataFrame, metric: str) -> None:
    complete, incomplete = trials[trials["complete"] == 1], trials[trials["complete"] != 1]
    best = complete[metric].cummax() if larger_is_better(metric) else complete[metric].cummin()
    axes.step(complete["trial"], best, where="post", color=_BLUE, linewidth=1.6, label="best so far")
    axes.plot(complete["trial"], complete[metric], "o", color=_PURPLE, markersize=6, label="complete")
    axes.plot(incomplete["trial"], incomplete[metric], "x", color=style.FAINT, markersize=7, label="pruned or diverged")
    present = complete[complete["trial"] == 0][metric]
    if len(present):
        axes.axhline(present.iloc[0], color=style.INK, linestyle="--", linewidth=1.2, label="present parameters")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    _limit_outliers(axes, complete[metric], incomplete[metric], larger_is_better(metric))
    style.plain_axes(axes, title="Trials, one seed", x="Trial", y=metric)


def _limit_outliers(axes: Axes, complete: pd.Series, incomplete: pd.Series, higher: bool) -> None:
    """Limit the y-axis, because incomplete trials with very poor metrics would push all other points together."""
    if len(complete) < 2:
        return
    low, high = complete.min(), complete.max()
    margin = 0.15 * (high - low) or 0.05
    top = np.nanmax([high, *incomplete.clip(upper=high + 3 * margin)]) if len(incomplete) else high
    bottom = np.nanmin([low, *incomplete.clip(lower=low - 3 * margin)]) if len(incomplete) else low
    axes.set_ylim((bottom - margin, high + margin) if higher else (low - margin, top + margin))


def _draw_finals(axes: Axes, finals: pd.DataFrame, metric: str) -> None:
    means = finals.groupby("network")[metric].mean().sort_values(ascending=not larger_is_better(metric))
    heights = pd.Series(range(len(means)), index=means.index)
    axes.plot(finals[metric], finals["network"].map(heights), "o", color=style.FAINT, markersize=5)
    axes.plot(means, heights, "D", color=_PURPLE, markersize=8)
    axes.set_yticks(heights, style.elide_all(means.index.tolist(), 22))
    axes.set_ylim(len(means) - 0.5, -0.5)
    style.plain_axes(axes, title="Finalists: each seed, and the mean", x=metric, grid="x")
