import numpy as np
import pandas as pd
import pytest
from evaluation_kit import predictions_of
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.evaluation.bootstrap import Interval, resample_groups
from goodbad_pipeline.evaluation.metrics import (
    classification_metrics,
    comparison_table,
    per_class_metrics,
    read_intervals,
)

# Five images: class 0 is predicted correctly twice and wrongly once, class 1 once each.
Y_TRUE = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.6, 0.8, 0.3])
PREDICTIONS = predictions_of(Y_TRUE, np.stack([1 - SCORES, SCORES], axis=1))


def single_images(count):
    return resample_groups(np.arange(count), 200, 0)


def test_per_class_by_hand():
    table = per_class_metrics(PREDICTIONS, single_images(5))
    for name in ("precision", "recall", "f1"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    table = table[["class", "precision", "recall", "f1", "support"]]
    expected = pd.DataFrame(
        {
            "class": ["0", "1"],
            "precision": [2 / 3, 1 / 2],
            "recall": [2 / 3, 1 / 2],
            "f1": [2 / 3, 1 / 2],
            "support": [3, 2],
        }
    )
    pd.testing.assert_frame_equal(table, expected)


def test_per_class_keeps_the_row_of_a_class_without_images():
    table = per_class_metrics(predictions_of(np.array([0, 2]), np.eye(3)[[0, 2]]), single_images(2))
    assert table["class"].tolist() == ["0", "1", "2"]
    assert table.loc[1, "support"] == 0
    assert table.loc[1, ["precision", "recall", "f1"]].isna().all()  # a denominator of 0 is no score of 0


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_per_class_agrees_with_the_averages(seed, classes):
    rng = np.random.default_rng(seed)
    y_true = np.concatenate([np.arange(classes), rng.integers(0, classes, 40 - classes)])
    probabilities = rng.dirichlet(np.ones(classes), 40)
    table = per_class_metrics(predictions_of(y_true, probabilities), single_images(40))
    metrics = classification_metrics(y_true, probabilities)
    assert table["support"].sum() == len(y_true)
    assert table["recall"].mean() == pytest.approx(metrics["balanced_accuracy"])
    assert table["f1"].mean() == pytest.approx(metrics["f1_macro"])


def stacked() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": ["model", "model", "majority", "majority"],
            "metric": ["log_loss", "accuracy"] * 2,
            "value": [0.2, 0.9, 0.7, np.nan],
            "low": 0.1,
            "high": 1.0,
        }
    )


def test_comparison_has_a_row_per_metric_and_a_column_per_model_in_order():
    table = comparison_table(stacked())
    assert table.columns.tolist() == ["metric", "model", "majority"]
    assert table["metric"].tolist() == ["log_loss", "accuracy"]
    np.testing.assert_array_equal(table["model"], [0.2, 0.9])
    np.testing.assert_array_equal(table["majority"], [0.7, np.nan])


def test_intervals_are_read_by_model_and_metric():
    assert read_intervals(stacked())["model", "accuracy"] == Interval(0.9, 0.1, 1.0)
