"""Trials of several networks: a ranking, and accuracy against operations beside the paper's own."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures.style import FAINT, INK, elide_all, new_figure, plain_axes

_LINES: Mapping[str, tuple[str, str]] = {
    "depth": ("#0072B2", "s"),
    "width": ("#009E73", "^"),
    "resolution": ("#E69F00", "D"),
    "compound": ("#7A1F5C", "o"),
}
_STEP = 0.022  # of the way from one multiple to the next: keeps bars of equal cost apart
_GROWN = slice(1, None)  # of a line's points, all but the base, which has a look of its own
_RANKED = ("network", "rank", "accuracy", "low", "high", "ratio")
_STUDIED = ("dimension", "multiple", "macs", "ratio", "accuracy", "low", "high")


def ranking_figure(ranking: pd.DataFrame, trials: pd.DataFrame, title: str = "Candidates by accuracy") -> Figure:
    """Draw each network's mean validation accuracy with its interval, best on top, and every trial as a dot.

    Args:
        ranking: One row a network: network, rank, accuracy, low, high (NaN for no interval), and ratio, its
            multiply-adds over the base's.
        trials: One row a trial: network, val_accuracy.
        title: Of the figure.

    Raises:
        InputError: For a missing column, or no rows.
    """
    _require(ranking, _RANKED, "ranking")
    rows = ranking.sort_values("rank", ignore_index=True)
    figure = new_figure(1.9 + 0.42 * len(rows))
    axes: Axes = figure.subplots()
    places = np.arange(len(rows))
    has_interval = rows["low"].notna().any()
    if has_interval:
        axes.hlines(places, rows["low"], rows["high"], color=_LINES["compound"][0], linewidth=2, label="95 % interval")
    order = {name: place for place, name in enumerate(rows["network"])}
    dots = trials[trials["network"].isin(order)]
    axes.plot(dots["val_accuracy"], dots["network"].map(order) + 0.24, "o", color=FAINT, markersize=4, label="one seed")
    axes.plot(rows["accuracy"], places, "D", color=_LINES["compound"][0], markersize=8, label="mean")
    for place, ratio in enumerate(rows["ratio"]):
        axes.text(
            1.01, place, f"×{ratio:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=10, color=INK
        )
    axes.text(1.01, 1.02, "operations", transform=axes.transAxes, fontsize=10, color=FAINT)
    plain_axes(axes, x="Validation accuracy", grid="x")
    axes.set_yticks(places, elide_all(rows["network"].tolist(), 34))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(title, fontsize=13, color=INK)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=11)
    return figure


def study_figure(study: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Draw accuracy against operations, a line for each dimension from the common base, beside the paper's Table 7.

    Args:
        study: One row a network: dimension (`base` or what grew), multiple, macs, ratio, accuracy, low and high (NaN
            for no interval).
        paper: The same of the paper: dimension, ratio, accuracy; it has no intervals.

    Raises:
        InputError: For a missing column, no rows, or no base.
    """
    _require(study, _STUDIED, "study")
    if "base" not in set(study["dimension"]):
        raise InputError("study: no row of dimension base; the lines start there")
    figure = new_figure(5.0)
    ours, theirs = figure.subplots(1, 2, width_ratios=[1.7, 1])
    _draw_lines(ours, study)
    plain_axes(ours, title="These data", x="Operations, times the base", y="Validation accuracy")
    _draw_lines(theirs, paper)
    plain_axes(theirs, title="The paper: ImageNet, B0 (Table 7)", x="Operations, times the base", y="Top-1 accuracy")
    handles, labels = ours.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=11)
    bars = "bars: 95 % interval" if study["low"].notna().any() else "one seed: no intervals"
    figure.suptitle(f"One dimension against all three, at equal operations ({bars})", fontsize=13, color=INK)
    return figure


def _require(table: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing or table.empty:
        raise InputError(f"{name}: no {', '.join(missing) or 'rows'}; give {', '.join(columns)}")


def _draw_lines(axes: Axes, table: pd.DataFrame) -> None:
    base = table[table["dimension"] == "base"].iloc[:1]
    drawn = [name for name in _LINES if name in set(table["dimension"])]
    for index, name in enumerate(drawn):
        rows = pd.concat([base, table[table["dimension"] == name].sort_values("ratio")])
        # The base stays in place; the others step aside a little, so that bars of equal cost can be told apart.
        shift = np.where(rows["dimension"] == "base", 1.0, 2 ** (_STEP * (index - (len(drawn) - 1) / 2) * 2))
        _draw_line(axes, rows, rows["ratio"].to_numpy(dtype=np.float64) * shift, name)
    _draw_base(axes, base)
    axes.set_xscale("log", base=2)
    largest = table["ratio"].max()
    ticks = [2**power for power in range(int(np.floor(np.log2(largest) + 0.1)) + 1)]
    axes.set_xticks(ticks, [f"×{tick}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.9, largest * 1.12)


def _draw_line(axes: Axes, rows: pd.DataFrame, x: np.ndarray, name: str) -> None:
    colour, marker = _LINES[name]
    axes.plot(x, rows["accuracy"], color=colour, linewidth=2, marker=marker, markersize=7, markevery=_GROWN, label=name)
    _draw_interval(axes, rows.iloc[_GROWN], x[_GROWN], colour)


def _draw_base(axes: Axes, base: pd.DataFrame) -> None:
    axes.plot(base["ratio"], base["accuracy"], "o", color=INK, markersize=8, zorder=3, label="base")
    _draw_interval(axes, base, base["ratio"].to_numpy(dtype=np.float64), INK)


def _draw_interval(axes: Axes, rows: pd.DataFrame, x: np.ndarray, colour: str) -> None:
    if "low" in rows and rows["low"].notna().any():
        sides = np.vstack([rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]])
        axes.errorbar(x, rows["accuracy"], yerr=sides, fmt="none", ecolor=colour, elinewidth=1.4, capsize=4)
