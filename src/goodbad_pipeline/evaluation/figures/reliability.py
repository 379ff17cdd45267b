"""How far to trust a probability: reliability before and after scaling, and what abstaining buys."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_predictions
from goodbad_pipeline.evaluation.figures.style import FAINT, INK, new_figure, plain_axes, series_colours
from goodbad_pipeline.evaluation.metrics import classification_metrics

BINS = 10


def reliability_figure(truth: IntArray, raw: FloatArray, calibrated: FloatArray, temperature: float) -> Figure:
    """Draw accuracy against confidence, before and after temperature scaling, and accuracy against coverage.

    Args:
        truth: (n,) class indices in [0, k).
        raw: (n, k) the model's own probabilities.
        calibrated: (n, k) the same after scaling.
        temperature: for the title.
    """
    figure = new_figure(5.2)
    left, right = figure.subplots(1, 2)
    colours = series_colours(["calibrated", "as trained"])
    _draw_reliability(left, truth, {"as trained": raw, "calibrated": calibrated}, colours)
    left.set_title(f"Reliability: temperature {temperature:.2f}", fontsize=12, color=INK)
    _draw_coverage(right, truth, calibrated, colours["calibrated"])
    return figure


def _draw_reliability(axes: Axes, truth: IntArray, models: dict[str, FloatArray], colours: dict[str, str]) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (1, 3)))
    for name, probabilities in models.items():
        values = check_predictions(truth, probabilities)
        confidence, accuracy, counts = _binned(truth, values)
        error = classification_metrics(truth, values)["ece"]
        axes.plot(confidence, accuracy, color=colours[name], linewidth=2, label=f"{name}, ECE {error:.3f}")
        sizes = 25 + 275 * counts / len(truth)
        axes.scatter(confidence, accuracy, sizes, color=colours[name], alpha=0.75, edgecolors="white", zorder=3)
    low = 1 / probabilities.shape[1]
    plain_axes(axes, x="Confidence (dots as large as their share of pictures)", y="Share that is right")
    axes.set(xlim=(low - 0.03, 1.03), ylim=(-0.03, 1.05))
    axes.legend(loc="lower right", fontsize=11, frameon=True, framealpha=0.95, edgecolor="none")


def _draw_coverage(axes: Axes, truth: IntArray, calibrated: FloatArray, colour: str) -> None:
    order = np.argsort(-calibrated.max(axis=1), kind="stable")
    accuracy = np.cumsum((calibrated.argmax(axis=1) == truth)[order]) / np.arange(1, len(truth) + 1)
    # The first few per cent are too few pictures to read anything from.
    first = max(0, min(len(truth) - 1, len(truth) // 20))
    share = np.arange(1, len(truth) + 1) / len(truth)
    axes.plot(share[first:] * 100, accuracy[first:], color=colour, linewidth=2)
    plain_axes(
        axes, title="Abstaining where unsure", x="Surest pictures that are answered (%)", y="Share that is right"
    )
    axes.set(xlim=(0, 102))
    axes.margins(y=0.1)


def _binned(
    truth: IntArray, probabilities: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)
    filled = counts > 0
    means = [np.bincount(bins, values, BINS)[filled] / counts[filled] for values in (confidence, right)]
    return means[0], means[1], counts[filled]
