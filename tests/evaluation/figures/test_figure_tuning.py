import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures import rate_figure, search_figure

CURVE = pd.DataFrame(
    {
        "learning_rate": np.geomspace(1e-4, 1, 20),
        "loss": np.linspace(0.7, 0.3, 20),
        "smoothed": np.linspace(0.7, 0.3, 20),
    }
)
RATES = {"low": 1e-3, "high": 1e-1, "present": 4e-3}


def trials(complete: list[int], values: list[float]) -> pd.DataFrame:
    names = ["present parameters", *(f"trial {number}" for number in range(1, len(values)))]
    return pd.DataFrame({"trial": range(len(values)), "complete": complete, "network": names, "val_log_loss": values})


FINALS = pd.DataFrame(
    {
        "trial": [0, 0, 2, 2],
        "network": ["present parameters"] * 2 + ["trial 2"] * 2,
        "val_log_loss": [0.4, 0.42, 0.35, 0.36],
    }
)


def test_the_range_and_the_present_rate_are_marked() -> None:
    figure = rate_figure(CURVE, RATES)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["searched", "present", "loss of a step", "smoothed"]


def test_one_trial_far_off_does_not_press_the_others_into_a_line() -> None:
    table = trials([1, 0, 1, 0], [0.4, 9e5, 0.35, np.nan])
    axes = search_figure(table, FINALS, "val_log_loss", larger_is_better=False).axes[0]
    low, high = axes.get_ylim()
    assert low < 0.35
    assert 0.4 < high < 1


def test_the_best_finalist_is_on_top() -> None:
    axes = search_figure(trials([1, 1, 1], [0.4, 0.5, 0.35]), FINALS, "val_log_loss", larger_is_better=False).axes[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["trial 2", "present parameters"]
    assert axes.yaxis_inverted()


def test_a_table_without_what_is_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="curve: no rows"):
        rate_figure(CURVE.iloc[:0], RATES)
    with pytest.raises(InputError, match="trials: no val_accuracy"):
        search_figure(trials([1], [0.4]), FINALS, "val_accuracy", larger_is_better=True)
