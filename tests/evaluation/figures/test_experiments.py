import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.figures import ranking_figure, study_figure


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
def test_the_study_stands_beside_the_paper(drawn, intervals):
    texts = drawn(study_figure(study(intervals), PAPER))
    assert {"depth", "width", "resolution", "compound", "×2", "×4"} <= set(texts)
    assert any("95 % interval" in text for text in texts) == intervals


def test_a_study_needs_its_base_and_its_columns():
    with pytest.raises(InputError, match="no row of dimension base"):
        study_figure(study().iloc[1:], PAPER)
    with pytest.raises(InputError, match="study: no ratio; give"):
        study_figure(study().drop(columns="ratio"), PAPER)
    with pytest.raises(InputError, match="ranking: no rows"):
        ranking_figure(ranking(0), pd.DataFrame({"network": [], "val_accuracy": []}))
