import logging
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.metrics import METRICS, accuracy_at_coverage, classification_metrics, roc_auc

# Five images: 0 is right twice and wrong once, 1 right once and wrong once.
Y_TRUE = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.6, 0.8, 0.3])
PROBABILITIES = np.stack([1 - SCORES, SCORES], axis=1)


def one_hot(predicted, classes, certainty=0.7):
    rest = (1 - certainty) / (classes - 1)
    return np.where(np.arange(classes) == np.asarray(predicted)[:, None], certainty, rest)


def predictions(seed, classes, count=40):
    rng = np.random.default_rng(seed)
    y_true = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    return y_true, rng.dirichlet(np.ones(classes), count)


def test_two_classes_by_hand():
    metrics = classification_metrics(Y_TRUE, PROBABILITIES)
    # Right at 0.9, 0.6 and 0.8, wrong at 0.6 and 0.7; of these only the two of 0.6 share a bin.
    ece = (0.1 + abs(1.2 - 1) + 0.2 + 0.7) / 5
    assert metrics == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": (2 / 3 + 1 / 2) / 2,
            "f1_macro": (2 / 3 + 1 / 2) / 2,  # class 0: precision and recall 2/3; class 1: 1/2 and 1/2
            "roc_auc": 4 / 6,  # of 6 pairs, 0.8 beats all three and 0.3 beats one
            "average_precision": (1 + 2 / 4) / 2,  # 0.8 comes first, 0.3 fourth
            "log_loss": -(log(0.9) + log(0.6) + log(0.4) + log(0.8) + log(0.3)) / 5,
            "brier": (0.1**2 + 0.4**2 + 0.6**2 + 0.2**2 + 0.7**2) / 5,
            "ece": ece,
        }
    )
    assert all(type(value) is float for value in metrics.values())


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_every_metric_is_scikit_learns(seed, classes):
    from sklearn import metrics as sk

    y_true, probabilities = predictions(seed, classes)
    metrics = classification_metrics(y_true, probabilities)
    predicted, one_hot_truth = probabilities.argmax(axis=1), np.eye(classes)[y_true]
    columns = [1] if classes == 2 else range(classes)
    expected = {
        "accuracy": sk.accuracy_score(y_true, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(y_true, predicted),
        "f1_macro": sk.f1_score(y_true, predicted, average="macro"),
        "roc_auc": np.mean([sk.roc_auc_score(one_hot_truth[:, c], probabilities[:, c]) for c in columns]),
        "average_precision": np.mean(
            [sk.average_precision_score(one_hot_truth[:, c], probabilities[:, c]) for c in columns]
        ),
        "log_loss": sk.log_loss(y_true, probabilities),
        "brier": sk.brier_score_loss(one_hot_truth[:, 1], probabilities[:, 1])
        if classes == 2
        else ((probabilities - one_hot_truth) ** 2).sum(axis=1).mean(),
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_predictions_other_than_the_likeliest_change_only_metrics_of_predictions():
    likeliest = classification_metrics(Y_TRUE, PROBABILITIES)
    all_ones = classification_metrics(Y_TRUE, PROBABILITIES, predicted=np.ones(5, dtype=int))
    assert all_ones["accuracy"] == 2 / 5
    assert all_ones["balanced_accuracy"] == 1 / 2
    assert {name for name in all_ones if all_ones[name] == likeliest[name]} >= {"roc_auc", "log_loss", "brier", "ece"}


def test_accuracy_at_coverage_takes_the_most_confident_predictions():
    right, confidence = np.array([True, False, True, False]), np.array([0.9, 0.6, 0.8, 0.7])
    assert accuracy_at_coverage(right, confidence, 0.5) == 1
    assert accuracy_at_coverage(right, confidence, 0.75) == pytest.approx(2 / 3)
    assert accuracy_at_coverage(right, confidence, 0.01) == 1


def test_three_classes_by_hand():
    y_true = np.array([0, 0, 1, 1, 2, 2])
    metrics = classification_metrics(y_true, one_hot([0, 1, 1, 1, 2, 2], 3))
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


def test_a_class_without_images_leaves_the_averages_and_is_named(caplog):
    y_true = np.array([0, 0, 2, 2])
    with caplog.at_level(logging.WARNING):
        metrics = classification_metrics(y_true, one_hot([0, 0, 2, 2], 3), ["cat", "cow", "dog"])
    assert metrics["balanced_accuracy"] == metrics["f1_macro"] == metrics["roc_auc"] == 1
    assert "Classes without test images: cow." in caplog.text


def test_predicting_a_class_without_images_costs_f1():
    y_true = np.array([0, 0, 2, 2])
    metrics = classification_metrics(y_true, one_hot([0, 1, 2, 2], 3))
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert metrics["balanced_accuracy"] == pytest.approx(3 / 4)


def test_labels_of_one_class_are_refused_by_its_name():
    with pytest.raises(InputError, match="all 3 images are of class good"):
        classification_metrics(np.ones(3, dtype=int), one_hot([0, 1, 1], 2), ["bad", "good"])
    with pytest.raises(InputError, match="of class 2"):
        roc_auc(np.full(3, 2), one_hot([0, 1, 2], 3))


def test_certain_and_wrong_stays_finite():
    assert classification_metrics(np.array([0, 1]), one_hot([1, 0], 2, certainty=1.0))["log_loss"] < 40


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_metrics_stay_within_their_bounds(seed, classes):
    metrics = classification_metrics(*predictions(seed, classes))
    assert metrics.pop("log_loss") >= 0
    assert 0 <= metrics.pop("brier") <= 2
    assert all(-1e-12 <= value <= 1 + 1e-12 for value in metrics.values())


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_neither_the_order_of_images_nor_of_classes_matters(seed, classes):
    y_true, probabilities = predictions(seed, classes)
    rng = np.random.default_rng(seed)
    # Of two classes average precision is that of the second, whichever it is.
    images, order = rng.permutation(len(y_true)), rng.permutation(classes) if classes > 2 else np.arange(2)
    shuffled = classification_metrics(np.argsort(order)[y_true[images]], probabilities[images][:, order])
    assert shuffled == pytest.approx(classification_metrics(y_true, probabilities))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_perfect_predictions_score_best(seed, classes):
    y_true, _ = predictions(seed, classes)
    metrics = classification_metrics(y_true, one_hot(y_true, classes, certainty=1.0))
    assert metrics == pytest.approx(dict.fromkeys(METRICS, 1) | {"log_loss": 0, "brier": 0, "ece": 0}, abs=1e-12)
