"""Curves: training history, ROC, precision and recall, reliability and coverage."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from goodbad_pipeline.errors import counted
from goodbad_pipeline.evaluation.figures import style
from goodbad_pipeline.evaluation.metrics import classification_metrics, roc_auc, scored_classes
from goodbad_pipeline.evaluation.predictions import FloatArray, IntArray

_STYLES = ("-", "--", "-.", ":")
_CHANCE: dict[str, Any] = {"color": style.FAINT, "linewidth": 1, "linestyle": (0, (1, 3))}
_LEGEND: dict[str, Any] = {
    "loc": "lower right",
    "fontsize": 11,
    "frameon": True,
    "framealpha": 0.95,
    "edgecolor": "none",
}
_BINS = 10


def history_figure(history: pd.DataFrame, monitor: str = "val_loss") -> Figure:
    """Draw loss and accuracy of the training and validation splits; mark the phases and the kept epoch.

    The kept epoch is the epoch whose weights the model has; the title shows the value of ``monitor`` in this epoch.
    Epochs are numbered from 1 through all phases. ``history`` has one row per epoch; NaN leaves a gap in a line. The
    column ``kept`` marks the kept epoch; older histories lack this column.
    """
    figure = style.new_figure(4.8)
    panels: Sequence[Axes] = figure.subplots(1, 2)
    kept = kept_epoch(history, monitor)
    for axes, measure in zip(panels, ("loss", "accuracy"), strict=True):
        _draw_history(axes, history, measure)
        _mark_phases(axes, phase_ranges(history))
        if kept is not None:
            _mark_kept(axes, kept, float(history[f"val_{measure}"].iloc[kept]))
    figure.suptitle(history_title(history, monitor), fontsize=13, color=style.INK)
    style.legend_of(figure, panels[0])
    return figure


def history_title(history: pd.DataFrame, monitor: str) -> str:
    """Return a title with the kept epoch, if it is known, and the monitored value of that epoch."""
    kept = kept_epoch(history, monitor)
    if kept is None:
        return f"Training history: {counted(len(history), 'epoch')}"
    return f"Training history: kept epoch {kept + 1} of {len(history)}, {monitor} {history[monitor].iloc[kept]:.4f}"


def phase_ranges(history: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Return each phase with the range of its rows: the first row, and the row after the last row."""
    phases = history["phase"].astype(str).tolist()
    starts = [index for index in range(len(phases)) if index == 0 or phases[index] != phases[index - 1]]
    return [(phases[start], start, end) for start, end in zip(starts, [*starts[1:], len(phases)], strict=True)]


def kept_epoch(history: pd.DataFrame, monitor: str) -> int | None:
    """Return the row of the kept epoch, or None if ``history`` marks no epoch that has a value of ``monitor``."""
    if "kept" not in history.columns:
        return None
    kept = np.flatnonzero(history["kept"].astype(bool) & history[monitor].notna())
    return int(kept[-1]) if len(kept) else None


def _draw_history(axes: Axes, history: pd.DataFrame, measure: str) -> None:
    epochs = np.arange(1, len(history) + 1)
    colours = style.split_colours(("train", "validation"))
    for column, split in ((measure, "train"), (f"val_{measure}", "validation")):
        values = history[column].to_numpy(dtype=np.float64)
        marker = "o" if len(epochs) <= 30 else None
        axes.plot(epochs, values, color=colours[split], linewidth=2, marker=marker, markersize=4, label=split)
    style.plain_axes(axes, x="Epoch", y=measure.capitalize())
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.margins(y=0.08)


def _mark_phases(axes: Axes, phases: Sequence[tuple[str, int, int]]) -> None:
    for phase, start, end in phases:
        if start:
            axes.axvline(start + 0.5, color=style.FAINT, linewidth=1, linestyle="--")
        axes.annotate(
            style.literal(style.elide(phase, 24)),
            ((start + end) / 2 + 0.5, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=10,
            color=style.FAINT,
        )


def _mark_kept(axes: Axes, kept: int, value: float) -> None:
    axes.axvline(kept + 1, color=style.FAINT, linewidth=1, linestyle=":", label="kept epoch")
    axes.plot(
        [kept + 1], [value], "o", markersize=10, markerfacecolor="none", markeredgecolor=style.INK, markeredgewidth=1.5
    )


def roc_figure(y_true: IntArray, probabilities_by_name: Mapping[str, FloatArray], class_names: Sequence[str]) -> Figure:
    """Draw one ROC curve per model, with its area in the legend.

    For two classes, the second class is positive. For more classes, the curve is the mean of the one-vs-rest curves.
    ``y_true`` (n,) holds class indices, and ``probabilities_by_name`` an array (n, k) per model, baselines last.

    Raises:
        InputError: All images are of one class.
    """
    figure = style.new_figure(6.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="chance, AUC 0.500", **_CHANCE)
    for values, name, line in _models(probabilities_by_name):
        label = f"{name}, AUC {roc_auc(y_true, values, class_names):.3f}"
        axes.plot(*roc_points(y_true, values), label=label, **line)
    style.plain_axes(axes, title=curve_title("ROC", class_names), x="False positive rate", y="True positive rate")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(**_LEGEND)
    return figure


def precision_recall_figure(
    y_true: IntArray, probabilities_by_name: Mapping[str, FloatArray], class_names: Sequence[str]
) -> Figure:
    """Draw one precision-recall curve per model, with its average precision in the legend; see `roc_figure`."""
    figure = style.new_figure(6.5)
    axes = figure.subplots()
    columns = scored_classes(y_true, len(class_names), class_names)
    chance = float(np.mean([np.mean(y_true == column) for column in columns]))
    axes.axhline(chance, label=f"chance, AP {chance:.3f}", **_CHANCE)
    for values, name, line in _models(probabilities_by_name):
        area = np.mean([average_precision_score(y_true == column, values[:, column]) for column in columns])
        points = _precision_recall_points(y_true, values, columns)
        axes.plot(*points, label=f"{name}, AP {area:.3f}", drawstyle="steps-pre", **line)
    style.plain_axes(axes, title=curve_title("Precision and recall", class_names), x="Recall", y="Precision")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(loc="outside lower center", ncols=3, fontsize=11, frameon=False)
    return figure


def curve_title(curve: str, class_names: Sequence[str]) -> str:
    """Return a title that names the positive class of a curve."""
    if len(class_names) == 2:
        negative, positive = style.elide_all(class_names, 32)
        return f"{curve}: “{positive}” against “{negative}”"
    return f"{curve}: mean of {len(class_names)} classes, each against the rest"


def roc_points(y_true: IntArray, probabilities: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the false positive rates and the true positive rates of the ROC curve, averaged over `scored_classes`."""
    columns = scored_classes(y_true, probabilities.shape[1])
    curves = [roc_curve(y_true == column, probabilities[:, column])[:2] for column in columns]
    if len(curves) == 1:
        return curves[0]
    rates = np.unique(np.concatenate([false for false, _ in curves]))
    mean = np.mean([np.interp(rates, false, true) for false, true in curves], axis=0)
    return np.concatenate([[0.0], rates]), np.concatenate([[0.0], mean])


def _precision_recall_points(
    y_true: IntArray, probabilities: FloatArray, columns: Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """Return the recalls and the precisions of the curve that is averaged over the classes ``columns``.

    The curve is drawn in steps, so that its area is the average precision. Linear interpolation would be too optimistic
    (Davis & Goadrich 2006).
    """
    curves = [precision_recall_curve(y_true == column, probabilities[:, column]) for column in columns]
    recalls = np.unique(np.concatenate([recall for _, recall, _ in curves]))
    precisions = [precision[::-1][np.searchsorted(recall[::-1], recalls)] for precision, recall, _ in curves]
    mean = np.mean(precisions, axis=0)
    mean[0] = mean[1]  # scikit-learn's precision of 1 at recall 0 is a convention
    return recalls, mean


def _models(probabilities_by_name: Mapping[str, FloatArray]) -> Iterator[tuple[FloatArray, str, dict[str, Any]]]:
    names = style.elide_all(list(probabilities_by_name), 32)
    colours = style.series_colours(names)
    for index, (name, probabilities) in enumerate(zip(names, probabilities_by_name.values(), strict=True)):
        width, dashes = (2.6 if index == 0 else 1.8), _STYLES[index % len(_STYLES)]
        yield probabilities, name, {"color": colours[name], "linewidth": width, "linestyle": dashes}


def reliability_figure(y_true: IntArray, raw: FloatArray, calibrated: FloatArray, temperature: float) -> Figure:
    """Draw accuracy against confidence, before and after temperature scaling, and accuracy against coverage.

    ``y_true`` (n,) holds class indices. ``calibrated`` (n, k) are the probabilities ``raw`` after temperature scaling.
    """
    figure = style.new_figure(5.2)
    left, right = figure.subplots(1, 2)
    colours = style.series_colours(["calibrated", "uncalibrated"])
    _draw_reliability(left, y_true, {"uncalibrated": raw, "calibrated": calibrated}, colours)
    left.set_title(f"Reliability: temperature {temperature:.2f}", fontsize=12, color=style.INK)
    _draw_coverage(right, y_true, calibrated, colours["calibrated"])
    return figure


def _draw_reliability(axes: Axes, y_true: IntArray, models: dict[str, FloatArray], colours: dict[str, str]) -> None:
    axes.plot([0, 1], [0, 1], **_CHANCE)
    for name, probabilities in models.items():
        confidence, accuracy, counts = _binned(y_true, probabilities)
        error = classification_metrics(y_true, probabilities)["ece"]
        axes.plot(confidence, accuracy, color=colours[name], linewidth=2, label=f"{name}, ECE {error:.3f}")
        sizes = 25 + 275 * counts / len(y_true)
        axes.scatter(confidence, accuracy, sizes, color=colours[name], alpha=0.75, edgecolors="white", zorder=3)
    low = 1 / probabilities.shape[1]
    style.plain_axes(axes, x="Confidence (area of dots: share of images)", y="Accuracy")
    axes.set(xlim=(low - 0.03, 1.03), ylim=(-0.03, 1.05))
    axes.legend(**_LEGEND)


def _draw_coverage(axes: Axes, y_true: IntArray, calibrated: FloatArray, colour: str) -> None:
    order = np.argsort(-calibrated.max(axis=1), kind="stable")
    accuracy = np.cumsum((calibrated.argmax(axis=1) == y_true)[order]) / np.arange(1, len(y_true) + 1)
    first = len(y_true) // 20  # the accuracy of fewer images is mostly noise
    coverage = np.arange(1, len(y_true) + 1) / len(y_true)
    axes.plot(coverage[first:] * 100, accuracy[first:], color=colour, linewidth=2)
    style.plain_axes(axes, title="Accuracy when abstaining", x="Coverage: most confident images (%)", y="Accuracy")
    axes.set(xlim=(0, 102))
    axes.margins(y=0.1)


def _binned(y_true: IntArray, probabilities: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean confidence, accuracy and number of images of each bin that is not empty."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS).astype(np.float64)
    filled = counts > 0
    means = [np.bincount(bins, values, _BINS)[filled] / counts[filled] for values in (confidence, correct)]
    return means[0], means[1], counts[filled]
