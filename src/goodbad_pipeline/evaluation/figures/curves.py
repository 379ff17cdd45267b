"""Training history: loss and accuracy, epoch by epoch, over both phases."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures.style import FAINT, INK, elide, literal, new_figure, plain_axes, split_colours

_COLUMNS = ("epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


def history_figure(history: pd.DataFrame, monitor: str = "val_loss") -> Figure:
    """Draw loss and accuracy of the training and validation splits; mark the phases and the epoch that was kept.

    Epochs are counted 1, 2, … through all phases, whatever the column `epoch` starts from in each.

    Args:
        history: one row per epoch in the order trained: epoch, phase, loss, accuracy, val_loss, val_accuracy,
            learning_rate. Not numbers (no validation) leave gaps. `kept`, whether the model has its weights, may be
            lacking: older histories do not tell.
        monitor: column whose value at that epoch is told.

    Raises:
        InputError: for a missing column, or no epochs.
    """
    missing = [column for column in (*_COLUMNS, monitor) if column not in history.columns]
    if missing:
        raise InputError(f"history: no column {', '.join(missing)}; it has {', '.join(map(str, history.columns))}")
    if history.empty:
        raise InputError("history: no epochs; train for at least one")
    figure = new_figure(4.8)
    panels: Sequence[Axes] = figure.subplots(1, 2)
    kept = kept_epoch(history, monitor)
    for axes, measure in zip(panels, ("loss", "accuracy"), strict=True):
        _draw_panel(axes, history, measure)
        _mark_phases(axes, history["phase"].astype(str).tolist())
        _mark_kept(axes, history, measure, kept)
    figure.suptitle(_title(history, monitor, kept), fontsize=13, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=11)
    return figure


def kept_epoch(history: pd.DataFrame, monitor: str) -> int | None:
    """Row of the epoch whose weights were kept; None where nothing tells, or it was not validated."""
    if "kept" not in history.columns:
        return None
    kept = np.flatnonzero(history["kept"].astype(bool) & history[monitor].notna())
    return int(kept[-1]) if len(kept) else None


def _phase_starts(phases: Sequence[str]) -> list[int]:
    return [0, *(index for index in range(1, len(phases)) if phases[index] != phases[index - 1])]


def _title(history: pd.DataFrame, monitor: str, kept: int | None) -> str:
    if kept is None:
        return f"Training history: {len(history)} epochs"
    return f"Training history: kept epoch {kept + 1} of {len(history)}, {monitor} {history[monitor].iloc[kept]:.4f}"


def _draw_panel(axes: Axes, history: pd.DataFrame, measure: str) -> None:
    epochs = np.arange(1, len(history) + 1)
    colours = split_colours(("train", "validation"))
    for column, split in ((measure, "train"), (f"val_{measure}", "validation")):
        values = history[column].to_numpy(dtype=np.float64)
        marker = "o" if len(epochs) <= 30 else None
        axes.plot(epochs, values, color=colours[split], linewidth=2, marker=marker, markersize=4, label=split)
    plain_axes(axes, x="Epoch", y=measure.capitalize())
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.margins(y=0.08)


def _mark_phases(axes: Axes, phases: Sequence[str]) -> None:
    starts = _phase_starts(phases)
    ends = [*starts[1:], len(phases)]
    for start, end in zip(starts, ends, strict=True):
        if start:
            axes.axvline(start + 0.5, color=FAINT, linewidth=1, linestyle="--")
        middle = (start + end) / 2 + 0.5
        axes.annotate(
            literal(elide(phases[start], 24)),
            (middle, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=10,
            color=FAINT,
        )


def _mark_kept(axes: Axes, history: pd.DataFrame, measure: str, kept: int | None) -> None:
    if kept is None:
        return
    value = float(history[f"val_{measure}"].iloc[kept])
    axes.axvline(kept + 1, color=FAINT, linewidth=1, linestyle=":", label="kept epoch")
    axes.plot([kept + 1], [value], "o", markersize=10, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.5)
