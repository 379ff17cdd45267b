import logging
from math import log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.metrics import classification_metrics, comparison_table, per_class_metrics, roc_auc

# Five pictures: 0 is right twice and wrong once, 1 right once and wrong once.
TRUTH = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.6, 0.8, 0.3])
PROBABILITIES = np.stack([1 - SCORES, SCORES], axis=1)


def one_hot(predicted, classes, certainty=0.7):
    rest = (1 - certainty) / (classes - 1)
    return np.where(np.arange(classes) == np.asarray(predicted)[:, None], certainty, rest)


def predictions(seed, classes, count=40):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    return truth, rng.dirichlet(np.ones(classes), count)


def test_two_classes_by_hand():
    metrics = classification_metrics(TRUTH, PROBABILITIES)
    assert metrics == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": (2 / 3 + 1 / 2) / 2,
            "f1_macro": (2 / 3 + 1 / 2) / 2,  # class 0: precision and recall 2/3; class 1: 1/2 and 1/2
            "roc_auc": 4 / 6,  # of 6 pairs, 0.8 beats all three and 0.3 beats one
            "log_loss": -(log(0.9) + log(0.6) + log(0.4) + log(0.8) + log(0.3)) / 5,
        }
    )
    assert all(type(value) is float for value in metrics.values())


def test_three_classes_by_hand():
    truth = np.array([0, 0, 1, 1, 2, 2])
    metrics = classification_metrics(truth, one_hot([0, 1, 1, 1, 2, 2], 3))
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    assert metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    assert metrics["roc_auc"] == pytest.approx((3 / 4 + 7 / 8 + 1) / 3)
    assert metrics["log_loss"] == pytest.approx(-(5 * log(0.7) + log(0.15)) / 6)


def test_a_tie_goes_to_the_first_class():
    metrics = classification_metrics(np.array([0, 1]), np.full((2, 2), 0.5))
    assert metrics["balanced_accuracy"] == 0.5
    assert metrics["roc_auc"] == 0.5
    assert metrics["log_loss"] == pytest.approx(log(2))


def test_a_class_without_pictures_leaves_the_averages_and_is_named(caplog):
    truth = np.array([0, 0, 2, 2])
    with caplog.at_level(logging.WARNING):
        metrics = classification_metrics(truth, one_hot([0, 0, 2, 2], 3), ["cat", "cow", "dog"])
    assert metrics["balanced_accuracy"] == metrics["f1_macro"] == metrics["roc_auc"] == 1
    assert "class cow" in caplog.text


def test_predicting_a_class_without_pictures_costs_f1():
    truth = np.array([0, 0, 2, 2])
    metrics = classification_metrics(truth, one_hot([0, 1, 2, 2], 3))
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert metrics["balanced_accuracy"] == pytest.approx(3 / 4)


def test_one_class_in_truth_is_refused_by_its_name():
    with pytest.raises(InputError, match="all 3 pictures are of class good"):
        classification_metrics(np.ones(3, dtype=int), one_hot([0, 1, 1], 2), ["bad", "good"])
    with pytest.raises(InputError, match="of class 2"):
        roc_auc(np.full(3, 2), one_hot([0, 1, 2], 3))


def test_names_must_match_the_classes():
    with pytest.raises(InputError, match="1 names for 2 classes"):
        classification_metrics(TRUTH, PROBABILITIES, ["bad"])


def test_certain_and_wrong_stays_finite():
    assert classification_metrics(np.array([0, 1]), one_hot([1, 0], 2, certainty=1.0))["log_loss"] < 40


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_metrics_stay_within_their_bounds(seed, classes):
    metrics = classification_metrics(*predictions(seed, classes))
    assert metrics.pop("log_loss") >= 0
    assert all(0 <= value <= 1 for value in metrics.values())


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_neither_the_order_of_pictures_nor_of_classes_matters(seed, classes):
    truth, probabilities = predictions(seed, classes)
    rng = np.random.default_rng(seed)
    pictures, order = rng.permutation(len(truth)), rng.permutation(classes)
    shuffled = classification_metrics(np.argsort(order)[truth[pictures]], probabilities[pictures][:, order])
    assert shuffled == pytest.approx(classification_metrics(truth, probabilities))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_the_truth_itself_scores_best(seed, classes):
    truth, _ = predictions(seed, classes)
    metrics = classification_metrics(truth, one_hot(truth, classes, certainty=1.0))
    assert metrics == pytest.approx(
        {"accuracy": 1, "balanced_accuracy": 1, "f1_macro": 1, "roc_auc": 1, "log_loss": 0}, abs=1e-12
    )


def test_per_class_by_hand():
    table = per_class_metrics(TRUTH, PROBABILITIES, ["bad", "good"])
    expected = pd.DataFrame(
        {
            "class": ["bad", "good"],
            "precision": [2 / 3, 1 / 2],
            "recall": [2 / 3, 1 / 2],
            "f1": [2 / 3, 1 / 2],
            "support": [3, 2],
        }
    )
    pd.testing.assert_frame_equal(table, expected)


def test_per_class_keeps_the_row_of_a_class_without_pictures():
    table = per_class_metrics(np.array([0, 2]), one_hot([0, 2], 3), ["cat", "cow", "dog"])
    assert table["class"].tolist() == ["cat", "cow", "dog"]
    assert table.loc[1, ["precision", "recall", "f1", "support"]].tolist() == [0, 0, 0, 0]


def test_per_class_wants_a_name_for_each_class():
    with pytest.raises(InputError, match="1 names for 2 classes"):
        per_class_metrics(TRUTH, PROBABILITIES, ["bad"])


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_per_class_agrees_with_the_averages(seed, classes):
    truth, probabilities = predictions(seed, classes)
    table = per_class_metrics(truth, probabilities, [str(index) for index in range(classes)])
    metrics = classification_metrics(truth, probabilities)
    assert table["support"].sum() == len(truth)
    assert table["recall"].mean() == pytest.approx(metrics["balanced_accuracy"])
    assert table["f1"].mean() == pytest.approx(metrics["f1_macro"])


def test_comparison_has_a_row_per_metric_and_a_column_per_model_in_order():
    table = comparison_table({"model": {"accuracy": 0.9, "log_loss": 0.2}, "majority": {"log_loss": 0.7, "extra": 1}})
    assert table.columns.tolist() == ["metric", "model", "majority"]
    assert table["metric"].tolist() == ["accuracy", "log_loss", "extra"]
    np.testing.assert_array_equal(table["model"], [0.9, 0.2, np.nan])
    np.testing.assert_array_equal(table["majority"], [np.nan, 0.7, 1.0])


def test_comparing_nothing_is_refused():
    with pytest.raises(InputError, match="no models"):
        comparison_table({})
