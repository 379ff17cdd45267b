import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.evaluation.figures import ranking_figure, rate_figure, search_figure, study_figure


def ranking(count: int, intervals: bool = True) -> pd.DataFrame:
    accuracy = np.linspace(0.8, 0.6, count)
    half = 0.09 if intervals else np.nan
    return pd.DataFrame(
        {
            "network": [f"α 1.2 · β 1.{index} · γ 1.15" for index in range(count)],
            "rank": range(1, count + 1),
            "accuracy": accuracy,
            "low": accuracy - half,
            "high": accuracy + half,
            "ratio": 1.9,
        }
    )


def study(intervals: bool = True) -> pd.DataFrame:
    rows = [("base", 1.0, 1.0, 0.6)]
    rows += [
        (dimension, multiple, multiple * 1.02, 0.6 + 0.03 * index + multiple / 50)
        for index, dimension in enumerate(("depth", "width", "resolution", "compound"))
        for multiple in (2.0, 4.0)
    ]
    table = pd.DataFrame(rows, columns=["dimension", "multiple", "ratio", "accuracy"]).assign(macs=10**6)
    half = 0.1 if intervals else np.nan
    return table.assign(low=table["accuracy"] - half, high=table["accuracy"] + half)


PAPER = pd.DataFrame(
    {"dimension": ["base", "depth", "compound"], "ratio": [1, 4.5, 4.5], "accuracy": [0.77, 0.79, 0.81]}
)


@pytest.mark.parametrize("count", [1, 9, 20])
@pytest.mark.parametrize("intervals", [True, False])
def test_the_ranking_shows_every_network_and_its_cost(drawn, count, intervals):
    table = ranking(count, intervals)
    trials = pd.DataFrame({"network": table["network"].repeat(2), "val_accuracy": 0.7})
    texts = drawn(ranking_figure(table, trials))
    assert set(table["network"]) <= set(texts)
    assert texts.count("×1.90") == count
    assert ("95 % interval" in texts) == intervals


@pytest.mark.parametrize("intervals", [True, False])
def test_the_study_is_drawn_next_to_the_paper(drawn, intervals):
    texts = drawn(study_figure(study(intervals), PAPER))
    assert {"depth", "width", "resolution", "compound", "×2", "×4"} <= set(texts)
    assert any("95 % interval" in text for text in texts) == intervals


CURVE = pd.DataFrame(
    {
        "learning_rate": np.geomspace(1e-4, 1, 20),
        "loss": np.linspace(0.7, 0.3, 20),
        "smoothed": np.linspace(0.7, 0.3, 20),
    }
)
RATES = {"low": 1e-3, "high": 1e-1, "present": 4e-3}


def search_trials(complete: list[int], values: list[float]) -> pd.DataFrame:
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


def test_one_outlier_does_not_flatten_the_others() -> None:
    table = search_trials([1, 0, 1, 0], [0.4, 9e5, 0.35, np.nan])
    axes = search_figure(table, FINALS, "val_log_loss").axes[0]
    low, high = axes.get_ylim()
    assert low < 0.35
    assert 0.4 < high < 1


def test_the_best_finalist_is_on_top() -> None:
    axes = search_figure(search_trials([1, 1, 1], [0.4, 0.5, 0.35]), FINALS, "val_log_loss").axes[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["trial 2", "present parameters"]
    assert axes.yaxis_inverted()
