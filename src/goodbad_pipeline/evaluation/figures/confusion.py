"""The confusion matrix: what each class was taken for."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_class_names, check_predictions
from goodbad_pipeline.evaluation.figures.style import INK, elide_all, new_figure, plain_axes

FEW = 4
"""Up to so many classes there is room for large letters."""


def confusion_matrix_figure(
    truth: IntArray, probabilities: FloatArray, class_names: Sequence[str], chosen: IntArray | None = None
) -> Figure:
    """Draw counts and row percentages, shaded by row, so that the diagonal shows each class's recall.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities: (n, k).
        class_names: k names; long ones are shortened in the middle. From 2 to 10 read well.
        chosen: (n,) class index of each answer; the likeliest, the first of equals, where left out.

    Raises:
        InputError: for arrays that `check_predictions` refuses, or another number of names.
    """
    values = check_predictions(truth, probabilities)
    classes = values.shape[1]
    check_class_names(class_names, classes)
    answers = values.argmax(axis=1) if chosen is None else chosen
    counts = confusion_matrix(truth, answers, labels=np.arange(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(min(14.0, 4.6 + 0.4 * classes))
    axes = figure.subplots()
    image = axes.imshow(shares * 100, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    right = np.trace(counts) / counts.sum()
    plain_axes(
        axes,
        title=f"Confusion matrix: {right:.1%} of {counts.sum():,} pictures right",
        x="Predicted class",
        y="True class",
        grid="none",
    )
    _name_ticks(axes, class_names)
    _write_cells(axes, counts, shares)
    figure.colorbar(image, ax=axes, label="Share of the true class (%)", pad=0.02)
    if classes <= FEW:  # it stands beside text, at half its size
        for text in figure.findobj(Text):
            text.set_fontsize(1.5 * float(text.get_fontsize()))
    return figure


def _name_ticks(axes: Axes, class_names: Sequence[str]) -> None:
    names = elide_all(class_names, 24)
    crowded = len(names) * max(len(name) for name in names) > 70
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    if crowded:
        axes.tick_params(axis="x", labelrotation=35)
        for label in axes.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    size = float(np.clip(20 - 1.1 * len(counts), 7, 15))
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        percent = f"{share:.0%}" if counts[row].any() else "–"
        colour = "white" if share > 0.55 else INK
        axes.text(column, row, f"{count:,}\n{percent}", ha="center", va="center", fontsize=size, color=colour)
