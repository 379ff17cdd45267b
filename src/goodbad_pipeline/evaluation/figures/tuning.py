"""A search for parameters: the learning-rate range test, and trial after trial with the finalists beside them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures.style import FAINT, INK, elide_all, new_figure, plain_axes

_OURS, _BEST = "#7A1F5C", "#0072B2"
_CURVE = ("learning_rate", "loss", "smoothed")
_TRIALS = ("trial", "complete", "network")


def rate_figure(curve: pd.DataFrame, rates: Mapping[str, float]) -> Figure:
    """Draw the loss of each step of a range test against its rate, and the range that it suggests.

    Args:
        curve: One row a step: learning_rate, loss, smoothed.
        rates: low and high of the range, and present, the rate that the parameters say.

    Raises:
        InputError: For a missing column, or no rows.
    """
    _require(curve, _CURVE, "curve")
    figure = new_figure(4.4)
    axes: Axes = figure.subplots()
    axes.axvspan(rates["low"], rates["high"], color=_BEST, alpha=0.1, label="searched")
    axes.axvline(rates["present"], color=INK, linestyle="--", linewidth=1.4, label="present")
    axes.plot(curve["learning_rate"], curve["loss"], color=FAINT, linewidth=1, label="loss of a step")
    axes.plot(curve["learning_rate"], curve["smoothed"], color=_OURS, linewidth=2.2, label="smoothed")
    axes.set_xscale("log")
    _show_the_fall(axes, curve["smoothed"])
    plain_axes(axes, x="Learning rate, for 256 pictures a step", y="Training loss")
    figure.suptitle("Range test: up to which learning rate the loss falls", fontsize=13, color=INK)
    _legend(figure, axes)
    return figure


def _show_the_fall(axes: Axes, smoothed: pd.Series) -> None:
    """Cut off most of the rise at the end, which would press the fall into a line."""
    bottom, top = smoothed.min(), smoothed.iloc[0]
    if top - bottom < 0.05 * (smoothed.max() - bottom):
        top = smoothed.max()
    room = 0.4 * (top - bottom) or 0.1
    axes.set_ylim(max(0.0, bottom - room), top + room)


def search_figure(trials: pd.DataFrame, finals: pd.DataFrame, metric: str, *, larger_is_better: bool) -> Figure:
    """Draw each trial's metric in the order of the search, and the finalists' over their seeds.

    Args:
        trials: One row a trial: trial, complete (1 or 0), network, and the metric, which may be missing.
        finals: One row a finalist and seed: trial, network, and the metric.
        metric: What is compared.
        larger_is_better: Whether more of it is better.

    Raises:
        InputError: For a missing column, or no rows.
    """
    _require(trials, (*_TRIALS, metric), "trials")
    _require(finals, ("trial", "network", metric), "finals")
    figure = new_figure(5.0)
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    _draw_trials(left, trials, metric, larger_is_better)
    _draw_finals(right, finals, metric, larger_is_better)
    better = "more is better" if larger_is_better else "less is better"
    figure.suptitle(f"Search for parameters by {metric} on validation ({better})", fontsize=13, color=INK)
    _legend(figure, left)
    return figure


def _draw_trials(axes: Axes, trials: pd.DataFrame, metric: str, larger_is_better: bool) -> None:
    complete = trials[trials["complete"] == 1]
    given_up = trials[trials["complete"] != 1]
    best = complete[metric].cummax() if larger_is_better else complete[metric].cummin()
    axes.step(complete["trial"], best, where="post", color=_BEST, linewidth=1.6, label="best so far")
    axes.plot(complete["trial"], complete[metric], "o", color=_OURS, markersize=6, label="trained to its end")
    axes.plot(given_up["trial"], given_up[metric], "x", color=FAINT, markersize=7, label="given up, or gone wrong")
    present = complete[complete["trial"] == 0][metric]
    if len(present):
        axes.axhline(present.iloc[0], color=INK, linestyle="--", linewidth=1.2, label="present parameters")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    _hide_far(axes, complete[metric], given_up[metric], larger_is_better)
    plain_axes(axes, title="Trials, one seed", x="Trial", y=metric)


def _hide_far(axes: Axes, complete: pd.Series, given_up: pd.Series, larger_is_better: bool) -> None:
    """Cut off what went far wrong: it would press all others into a line."""
    if len(complete) < 2:
        return
    low, high = complete.min(), complete.max()
    room = 0.15 * (high - low) or 0.05
    reach = np.nanmax([high, *given_up.clip(upper=high + 3 * room)]) if len(given_up) else high
    floor = np.nanmin([low, *given_up.clip(lower=low - 3 * room)]) if len(given_up) else low
    axes.set_ylim((floor - room, high + room) if larger_is_better else (low - room, reach + room))


def _draw_finals(axes: Axes, finals: pd.DataFrame, metric: str, larger_is_better: bool) -> None:
    means = finals.groupby("network")[metric].mean().sort_values(ascending=not larger_is_better)
    places = {name: place for place, name in enumerate(means.index)}
    axes.plot(finals[metric], finals["network"].map(places), "o", color=FAINT, markersize=5)
    axes.plot(means.to_numpy(), range(len(means)), "D", color=_OURS, markersize=8)
    axes.set_yticks(range(len(means)), elide_all([str(name) for name in means.index], 22))
    axes.set_ylim(len(means) - 0.5, -0.5)
    plain_axes(axes, title="Finalists: each seed, and the mean", x=metric, grid="x")


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=11)


def _require(table: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing or table.empty:
        raise InputError(f"{name}: no {', '.join(missing) or 'rows'}; give {', '.join(columns)}")
