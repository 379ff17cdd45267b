"""Interactive Plotly charts of the training history, the ROC curve and the slices.

The charts contain plain lists, which every version of plotly.js reads. Names from the data are
escaped, because Plotly interprets some HTML.
"""

from collections.abc import Hashable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.graph_objects import Figure as Chart  # exported as figures.Chart
from plotly.subplots import make_subplots
from sklearn.metrics import roc_curve

from goodbad_pipeline.evaluation.figures.bars import NO_INTERVAL, lowest_slices, slice_names
from goodbad_pipeline.evaluation.figures.curves import (
    curve_title,
    history_title,
    kept_epoch,
    phase_ranges,
    roc_points,
)
from goodbad_pipeline.evaluation.figures.style import FAINT, GRID, INK, elide, series_colours, split_colours
from goodbad_pipeline.evaluation.metrics import roc_auc
from goodbad_pipeline.evaluation.predictions import FloatArray, IntArray

MAX_POINTS = 400
"""Largest number of points of a curve; more points would only make the report larger."""
_AXIS = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": FAINT, "ticks": "outside", "tickcolor": FAINT}


def history_chart(history: pd.DataFrame, monitor: str = "val_loss") -> Chart:
    """Draw `history_figure` as a chart, with values, phase and learning rate of each epoch in a tooltip."""
    chart = make_subplots(rows=1, cols=2, horizontal_spacing=0.14)
    epochs = list(range(1, len(history) + 1))
    details = [[escape(str(phase)), float(rate)] for phase, rate in history[["phase", "learning_rate"]].to_numpy()]
    for panel, measure in enumerate(("loss", "accuracy"), start=1):
        for column, (split, colour) in zip(
            (measure, f"val_{measure}"), split_colours(("train", "validation")).items(), strict=True
        ):
            line = go.Scatter(
                x=epochs,
                y=_numbers(history[column]),
                customdata=details,
                name=split,
                legendgroup=split,
                showlegend=panel == 1,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                hovertemplate="%{y:.4f} (%{customdata[0]}, rate %{customdata[1]:.2g})",
            )
            chart.add_trace(line, row=1, col=panel)
        chart.update_yaxes(title=measure.capitalize(), col=panel)
    for phase, start, _ in phase_ranges(history):
        chart.add_vline(
            x=start + 0.5,
            line={"color": FAINT, "width": 1, "dash": "dash"},
            annotation={"text": escape(elide(phase, 24)), "font": {"size": 12, "color": FAINT}, "yanchor": "bottom"},
            annotation_position="top right",
        )
    kept = kept_epoch(history, monitor)
    if kept is not None:
        _mark_kept(chart, history, kept)
    chart.update_xaxes(
        title="Epoch",
        range=[0.5, len(history) + 0.5],
        tickformat="d",
        hoverformat="d",
        unifiedhovertitle={"text": "epoch %{x}"},
    )
    return _styled(chart, 420, title=history_title(history, monitor), hovermode="x unified")


def _mark_kept(chart: Chart, history: pd.DataFrame, kept: int) -> None:
    for panel, measure in enumerate(("loss", "accuracy"), start=1):
        ring = go.Scatter(
            x=[kept + 1],
            y=_numbers(history[f"val_{measure}"].iloc[[kept]]),
            name="kept epoch",
            legendgroup="kept",
            showlegend=panel == 1,
            mode="markers",
            marker={"symbol": "circle-open", "size": 14, "color": INK, "line": {"width": 1.5}},
            hoverinfo="skip",
            cliponaxis=False,
        )
        chart.add_trace(ring, row=1, col=panel)
    chart.add_vline(x=kept + 1, line={"color": FAINT, "width": 1, "dash": "dot"})


def roc_chart(y_true: IntArray, probabilities_by_name: Mapping[str, FloatArray], class_names: Sequence[str]) -> Chart:
    """Draw `roc_figure` as a chart, with both rates in a tooltip; for two classes, also with the threshold."""
    chart = Chart()
    colours = series_colours(list(probabilities_by_name))
    for index, (name, probabilities) in enumerate(probabilities_by_name.items()):
        false, true, thresholds = _roc_curve(y_true, probabilities)
        threshold = "" if thresholds is None else "<br>threshold %{customdata:.3f}"
        chart.add_trace(
            go.Scatter(
                x=false.tolist(),
                y=true.tolist(),
                customdata=None if thresholds is None else thresholds.tolist(),
                name=f"{escape(elide(name, 32))}, AUC {roc_auc(y_true, probabilities, class_names):.3f}",
                mode="lines",
                line={"color": colours[name], "width": 2.6 if index == 0 else 1.8},
                hovertemplate=f"true positives %{{y:.1%}}, false positives %{{x:.1%}}{threshold}",
            )
        )
    chance = {"color": FAINT, "width": 1, "dash": "dot"}
    chart.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line=chance, layer="below")
    chart.update_xaxes(title="False positive rate", range=[-0.01, 1.01])
    chart.update_yaxes(title="True positive rate", range=[-0.01, 1.01])
    return _styled(chart, 560, title=escape(curve_title("ROC", class_names)))


def slices_chart(slices: pd.DataFrame, accuracy: float) -> Chart:
    """Draw `slices_figure` as a chart, with full name, interval, images and groups in a tooltip."""
    shown = lowest_slices(slices)
    positions = list(range(len(shown)))
    details = [
        [escape(str(row["column"])), escape(str(row["value"])), row["images"], row["groups"], _interval(row)]
        for row in shown.to_dict("records")
    ]
    values = shown["accuracy"].to_numpy(float)
    known = shown["low"].notna()
    colour = series_colours(["model"])["model"]
    chart = Chart(
        go.Scatter(
            x=_numbers(shown["accuracy"]),
            y=positions,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": _numbers(shown["high"] - values),
                "arrayminus": _numbers(values - shown["low"]),
                "color": colour,
                "thickness": 3,
                "width": 0,
            },
            customdata=details,
            mode="markers",
            marker={
                "color": [colour if one else FAINT for one in known],
                "symbol": ["circle" if one else "x-thin-open" for one in known],
                "size": 9,
            },
            hovertemplate="%{customdata[0]}: %{customdata[1]}<br>accuracy %{x:.3f}, %{customdata[4]}"
            "<br>images: %{customdata[2]}, groups: %{customdata[3]}<extra></extra>",
        )
    )
    chart.add_vline(x=accuracy, line={"color": FAINT, "width": 1, "dash": "dash"})
    chart.update_yaxes(
        tickvals=positions,
        ticktext=[escape(name) for name in slice_names(shown)],
        autorange="reversed",
        automargin=True,
    )
    note = "" if known.all() else f"; × {NO_INTERVAL}"
    chart.update_xaxes(title=f"Accuracy with 95 % interval; images in parentheses{note}", range=[-0.02, 1.02])
    return _styled(
        chart, 150 + 26 * max(2, len(shown)), title=f"Accuracy by slice; all test images {accuracy:.3f} (dashed)"
    )


def _roc_curve(y_true: IntArray, probabilities: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return at most `MAX_POINTS` points of the ROC curve: x, y and, for two classes, thresholds."""
    if probabilities.shape[1] == 2:
        false, true, thresholds = roc_curve(y_true == 1, probabilities[:, 1])
    else:
        false, true, thresholds = *roc_points(y_true, probabilities), None
    points = np.unique(np.linspace(0, len(false) - 1, min(len(false), MAX_POINTS)).round().astype(int))
    if thresholds is not None:
        thresholds = np.minimum(thresholds[points], 1)  # the first threshold is infinite
    return false[points], true[points], thresholds


def _numbers(values: pd.Series) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values.to_numpy(float)]


def _interval(row: Mapping[Hashable, Any]) -> str:
    low, high = row["low"], row["high"]
    return NO_INTERVAL if np.isnan(low) or np.isnan(high) else f"{low:.3f} to {high:.3f}"


def _styled(chart: Chart, height: int, title: str, hovermode: str = "closest") -> Chart:
    chart.update_layout(
        template="none",
        height=height,
        title={"text": title, "font": {"size": 15}, "x": 0.5},
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        hovermode=hovermode,
        legend={"orientation": "h", "y": -84 / (height - 110), "x": 0.5, "xanchor": "center"},  # below the axis titles
    )
    chart.update_xaxes(**_AXIS)
    chart.update_yaxes(**_AXIS)
    return chart
