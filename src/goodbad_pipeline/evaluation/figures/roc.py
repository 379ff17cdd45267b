"""ROC curves: the model against the baselines."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.arrays import FloatArray, IntArray, check_class_names, check_predictions
from goodbad_pipeline.evaluation.figures.style import FAINT, elide_all, new_figure, plain_axes, series_colours
from goodbad_pipeline.evaluation.metrics import roc_auc, scored_classes

_STYLES = ("-", "--", "-.", ":")


def roc_figure(truth: IntArray, probabilities_by_name: Mapping[str, FloatArray], class_names: Sequence[str]) -> Figure:
    """Draw one ROC curve per model, with its area in the legend, as `roc_auc` computes it.

    Args:
        truth: (n,) class indices in [0, k).
        probabilities_by_name: (n, k) of each model, ours first, then the baselines.
        class_names: k names. Of two classes the second is the one found; of more the curve is the mean of one-vs-rest.

    Raises:
        InputError: for no models, arrays that `check_predictions` refuses, another number of names, or a truth that
            holds one class only.
    """
    if not probabilities_by_name:
        raise InputError("probabilities_by_name: no models to draw; give at least one")
    figure = new_figure(6.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (1, 3)), label="chance, AUC 0.500")
    names = elide_all(list(probabilities_by_name), 32)
    colours = series_colours(names)
    for index, (name, probabilities) in enumerate(zip(names, probabilities_by_name.values(), strict=True)):
        values = check_predictions(truth, probabilities)
        check_class_names(class_names, values.shape[1])
        label = f"{name}, AUC {roc_auc(truth, values, class_names):.3f}"
        width, style = (2.6 if index == 0 else 1.8), _STYLES[index % len(_STYLES)]
        axes.plot(*roc_points(truth, values), color=colours[name], linewidth=width, linestyle=style, label=label)
    plain_axes(axes, title=roc_title(class_names), x="False positive rate", y="True positive rate")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", fontsize=11, frameon=True, framealpha=0.95, edgecolor="none")
    return figure


def roc_title(class_names: Sequence[str]) -> str:
    """Say which class is found among which."""
    if len(class_names) == 2:
        names = elide_all(class_names, 32)
        return f"ROC: finding “{names[1]}” among “{names[0]}”"
    return f"ROC: mean of {len(class_names)} classes, each against the rest"


def roc_points(truth: IntArray, probabilities: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean true positive rate over the scored classes, at every false positive rate that one of them has."""
    columns = scored_classes(truth, probabilities.shape[1])
    curves = [roc_curve(truth == column, probabilities[:, column])[:2] for column in columns]
    if len(curves) == 1:
        return curves[0]
    rates = np.unique(np.concatenate([false for false, _ in curves]))
    mean = np.mean([np.interp(rates, false, true) for false, true in curves], axis=0)
    return np.concatenate([[0.0], rates]), np.concatenate([[0.0], mean])
