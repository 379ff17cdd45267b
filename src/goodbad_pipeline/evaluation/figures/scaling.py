"""Figures of compound scaling: coefficients along φ, the published networks, accuracy against cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullFormatter, NullLocator

from goodbad_pipeline.evaluation.figures.style import FAINT, INK, legend_of, literal, new_figure, plain_axes

_EFFICIENTNETS = "#7A1F5C"
_OTHERS = "#6E6E6E"
_DIMENSIONS = {"depth": ("#D55E00", "s", "α"), "width": ("#009E73", "D", "β"), "resolution": ("#0072B2", "^", "γ")}
_BAND = 0.15

# Offset of a label from its mark, in points; the default is to the right.
_BELOW, _LEFT, _RIGHT = (0, -6), (-7, 0), (7, 0)
_ABOVE_LEFT, _BELOW_RIGHT = (-5, 6), (4, -6)
_OFFSETS = {
    "flops": {
        "ResNet-50": _BELOW,
        "DenseNet-169": _LEFT,
        "Inception-v4": _LEFT,
        "DenseNet-264": _LEFT,
        "Inception-v3": _LEFT,
        "NASNet-A": (-5, -7),
        "AmoebaNet-A": _LEFT,
        "PNASNet": (3, 8),
    },
    "parameters": {
        "DenseNet-169": _LEFT,
        "DenseNet-264": _LEFT,
        "Xception": _LEFT,
        "Inception-v3": (7, -3),
        "Inception-v4": _LEFT,
        "NASNet-A": (7, -6),
        "AmoebaNet-A": _LEFT,
        "PNASNet": (-5, 8),
        "GPipe": _LEFT,
    },
}


def accuracy_figure(comparison: pd.DataFrame) -> Figure:
    """Draw ImageNet accuracy against multiply-adds and parameters, as reported in Table 2 of the EfficientNet paper.

    ``comparison`` has one row per network: network, family (`EfficientNet` or `other`), top1_paper in per cent,
    parameters_paper and flops_paper. The panel of each of the last two columns omits networks with NaN in the column.
    """
    figure = new_figure(5.6)
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    panel_titles = (("flops", "Multiply-adds per image"), ("parameters", "Parameters"))
    for axes, (measure, title) in zip(panels, panel_titles, strict=True):
        plain_axes(axes, x=title)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        _draw_networks(axes, comparison.dropna(subset=f"{measure}_paper"), measure)
    panels[0].set_ylabel("Top-1 on ImageNet, %", fontsize=11, color=INK)
    panels[0].set_xlim(0.24e9, 90e9)
    panels[1].set_xlim(3.2e6, 750e6)
    figure.suptitle("Accuracy against cost, as reported by the paper (Table 2)", fontsize=13, color=INK)
    return figure


def _draw_networks(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    column = f"{measure}_paper"
    scaled, others = table[table["family"] == "EfficientNet"], table[table["family"] != "EfficientNet"]
    axes.plot(others[column], others["top1_paper"], "o", color=_OTHERS, markersize=5)
    axes.plot(scaled[column], scaled["top1_paper"], "o-", color=_EFFICIENTNETS, markersize=7, linewidth=2)
    for name, cost, accuracy in zip(others["network"], others[column], others["top1_paper"], strict=True):
        _label(axes, cost, accuracy, name, _OFFSETS[measure].get(name, _RIGHT), _OTHERS, 9)
    for name, cost, accuracy in zip(scaled["network"], scaled[column], scaled["top1_paper"], strict=True):
        _label(axes, cost, accuracy, name.split("-")[-1], _ABOVE_LEFT, _EFFICIENTNETS, 11)


def _label(axes: Axes, x: float, y: float, text: str, offset: tuple[int, int], colour: str, size: int) -> None:
    across, up = offset
    axes.annotate(
        literal(text),
        (x, y),
        offset,
        textcoords="offset points",
        ha="left" if across > 0 else "right" if across < 0 else "center",
        va="bottom" if up > 5 else "top" if up < -5 else "center",
        fontsize=size,
        color=colour,
    )


def coefficients_figure(curve: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Draw coefficients, multiply-adds and activations along φ, and each published network at its nearest φ.

    The lowest panel shows the φ to which the depth, the width and the resolution of each published network correspond.
    A network follows the scaling law exactly if these three values are equal.

    Args:
        curve: One row per φ: phi, depth, width, resolution, macs, activations.
        published: One row per network: variant, the columns of ``curve``, and phi_of_depth, phi_of_width and
            phi_of_resolution. A value is NaN if φ does not change the dimension, because its base α, β or γ is 1.
    """
    figure = new_figure(11.5)
    panels = figure.subplot_mosaic("AABBCC;DDDEEE;FFFFFF", height_ratios=(1, 1.1, 1.5))
    for name, key in zip("ABC", _DIMENSIONS, strict=True):
        colour, _, base = _DIMENSIONS[key]
        title = f"Resolution, 224·{base}^φ pixels" if key == "resolution" else f"{key.capitalize()} ×{base}^φ"
        _draw_along(panels[name], curve, published, key, colour, title)
    for name, key, title in (("D", "macs", "Multiply-adds per image"), ("E", "activations", "Activations")):
        _draw_along(panels[name], curve, published, key, _EFFICIENTNETS, title)
        panels[name].set_yscale("log")
        panels[name].yaxis.set_major_formatter(FuncFormatter(_short))
        panels[name].yaxis.set_minor_formatter(NullFormatter())
    if published[[f"phi_of_{key}" for key in _DIMENSIONS]].notna().any(axis=None):
        _draw_equivalent_phis(panels["F"], published)
    else:
        panels["F"].set_axis_off()
        panels["F"].set_title("Every base is 1: φ has no effect", fontsize=11, color=FAINT)
    first, last = published["variant"].iloc[0], published["variant"].iloc[-1]
    lines = "Lines: all φ; depth and width are exact powers, resolution and costs are those of the built network"
    figure.suptitle(f"{lines}\nDots: {first} to {last} as published", fontsize=13, color=INK)
    return figure


def _draw_along(axes: Axes, curve: pd.DataFrame, published: pd.DataFrame, key: str, colour: str, title: str) -> None:
    axes.plot(curve["phi"], curve[key], color=colour, linewidth=2)
    axes.plot(published["phi"], published[key], "o", color=INK, markersize=5)
    plain_axes(axes, title=title, x="φ")
    axes.xaxis.set_major_locator(MultipleLocator(2))
    line = np.interp(published["phi"], curve["phi"], curve[key])
    below = np.asarray(published[key]) < 0.98 * line
    for index, (name, phi, value) in enumerate(
        zip(published["variant"], published["phi"], published[key], strict=True)
    ):
        _label(axes, phi, value, name, _BELOW_RIGHT if index % 2 or below[index] else _ABOVE_LEFT, INK, 9)


def _draw_equivalent_phis(axes: Axes, published: pd.DataFrame) -> None:
    positions = np.arange(len(published))[::-1]
    phis = published[[f"phi_of_{key}" for key in _DIMENSIONS]].to_numpy(dtype=np.float64)
    axes.hlines(positions, np.nanmin(phis, axis=1), np.nanmax(phis, axis=1), color="#B7B7B7", linewidth=5, zorder=1)
    for index, (key, (colour, marker, base)) in enumerate(_DIMENSIONS.items()):
        label = f"{key}: log(…) / log {base}"
        axes.plot(phis[:, index], positions, marker, color=colour, markersize=8, label=label)
    spread = np.nanmax(phis, axis=1) - np.nanmin(phis, axis=1)
    for position, gap, right in zip(positions, spread, np.nanmax(phis, axis=1), strict=True):
        text = "equal" if gap < 0.005 else f"{gap:.2f} apart"
        axes.annotate(
            text, (right, position), (9, 0), textcoords="offset points", va="center", fontsize=10, color=FAINT
        )
    plain_axes(axes, title="The φ that each coefficient of a published network corresponds to", x="φ", grid="x")
    axes.set_yticks(positions, published["variant"].tolist())
    axes.set_ylim(-0.6, len(published) - 0.4)
    axes.set_xlim(-0.4, np.nanmax(phis) + 0.9)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.legend(loc="upper right", frameon=False, fontsize=10)


def law_figure(curve: pd.DataFrame) -> Figure:
    """Draw the deviation of counted multiply-adds from 2^φ and from (α·β²·γ²)^φ, with a band of ±15 %.

    ``curve`` has one row per φ: phi, over_doubling and over_product. The growth r is the multiply-adds divided by
    the multiply-adds at φ = 0. over_doubling is r / 2^φ, and over_product is r / (α·β²·γ²)^φ.
    """
    figure = new_figure(4.6)
    axes = figure.subplots()
    axes.axhspan(-100 * _BAND, 100 * _BAND, color="#EEF3F7", zorder=0)
    axes.axhline(0, color=FAINT, linewidth=1)
    lines = (("over_doubling", "against 2^φ", _EFFICIENTNETS), ("over_product", "against (α·β²·γ²)^φ", "#0072B2"))
    for column, label, colour in lines:
        axes.plot(curve["phi"], 100 * (curve[column] - 1), color=colour, linewidth=2, label=label)
    plain_axes(axes, title="Deviation of counted multiply-adds from the law (%)", x="φ", y="%")
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.set_xlim(curve["phi"].min(), curve["phi"].max())
    axes.text(0.005, _BAND * 100, "±15 %", transform=axes.get_yaxis_transform(), va="bottom", fontsize=10, color=FAINT)
    legend_of(figure, axes)
    return figure


def _short(value: float, _: object = None) -> str:
    """Format a number as 5 M, 100 M or 2 B."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"
