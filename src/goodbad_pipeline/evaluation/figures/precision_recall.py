"""Precision-recall curves: the model against the baselines."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_class_names, check_predictions
from goodbad_pipeline.evaluation.figures.style import FAINT, elide_all, new_figure, plain_axes, series_colours
from goodbad_pipeline.evaluation.metrics import scored_classes

_STYLES = ("-", "--", "-.", ":")


def precision_recall_figure(
    truth: IntArray, probabilities_by_name: Mapping[str, FloatArray], class_names: Sequence[str]
) -> Figure:
    """Draw one curve per model, with its average precision in the legend.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities_by_name: (n, k) of each model, ours first, then the baselines.
        class_names: k names. Of two classes the second is the one found; of more the curve is the mean of one-vs-rest.

    Raises:
        InputError: for arrays that `check_predictions` refuses, another number of names, or a truth that holds one
            class only.
    """
    figure = new_figure(6.5)
    axes = figure.subplots()
    names = elide_all(list(probabilities_by_name), 32)
    colours = series_colours(names)
    columns = scored_classes(truth, len(class_names), class_names)
    chance = float(np.mean([np.mean(truth == column) for column in columns]))
    axes.axhline(chance, color=FAINT, linewidth=1, linestyle=(0, (1, 3)), label=f"chance, AP {chance:.3f}")
    for index, (name, probabilities) in enumerate(zip(names, probabilities_by_name.values(), strict=True)):
        values = check_predictions(truth, probabilities)
        check_class_names(class_names, values.shape[1])
        area = np.mean([average_precision_score(truth == column, values[:, column]) for column in columns])
        width, style = (2.6 if index == 0 else 1.8), _STYLES[index % len(_STYLES)]
        line = axes.plot(*_curve(truth, values, columns), color=colours[name], linewidth=width, linestyle=style)[0]
        line.set(label=f"{name}, AP {area:.3f}", drawstyle="steps-pre")
    plain_axes(axes, title=_title(class_names), x="Recall", y="Precision")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(loc="outside lower center", ncols=3, fontsize=11, frameon=False)
    return figure


def _title(class_names: Sequence[str]) -> str:
    if len(class_names) == 2:
        names = elide_all(class_names, 32)
        return f"Precision and recall: finding “{names[1]}” among “{names[0]}”"
    return f"Precision and recall: mean of {len(class_names)} classes, each against the rest"


def _curve(
    truth: IntArray, probabilities: FloatArray, columns: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean precision of the scored classes at every recall that one of them has.

    What it takes to reach a recall is the precision there: steps, not slopes, between two recalls, so that the area is
    the average precision. (Davis & Goadrich 2006: between two points of it a line is too good.)
    """
    curves = [precision_recall_curve(truth == column, probabilities[:, column]) for column in columns]
    recalls = np.unique(np.concatenate([recall for _, recall, _ in curves]))
    found = [precision[::-1][np.searchsorted(recall[::-1], recalls)] for precision, recall, _ in curves]
    mean = np.mean(found, axis=0)
    mean[0] = mean[1]  # nothing is found at no recall, and its precision is a convention
    return recalls, mean
