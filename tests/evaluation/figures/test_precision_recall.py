import numpy as np
import pytest

from goodbad_pipeline.evaluation.baselines import majority_baseline
from goodbad_pipeline.evaluation.figures import precision_recall_figure
from goodbad_pipeline.evaluation.metrics import classification_metrics


def test_each_model_is_named_with_its_average_precision(case, drawn):
    y_true, probabilities, names = case
    majority = majority_baseline(y_true, len(y_true), len(names))
    texts = drawn(precision_recall_figure(y_true, {"model": probabilities, "majority class": majority}, names))
    assert f"model, AP {classification_metrics(y_true, probabilities)['average_precision']:.3f}" in texts
    assert {"Recall", "Precision"} <= set(texts)


def test_the_steps_hold_the_average_precision(case):
    y_true, probabilities, names = case
    line = precision_recall_figure(y_true, {"model": probabilities}, names).axes[0].lines[1]
    recall, precision = line.get_data()
    assert line.get_drawstyle() == "steps-pre"
    assert (recall[0], recall[-1]) == (0, 1)
    expected = classification_metrics(y_true, probabilities)["average_precision"]
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(expected, abs=2e-3)


def test_a_model_that_knows_nothing_is_a_flat_line_at_chance(case):
    """A line from recall 0, where precision is 1 by convention, would be too optimistic."""
    y_true, _, names = case
    same = majority_baseline(y_true, len(y_true), len(names))
    chance, line = precision_recall_figure(y_true, {"majority": same}, names).axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), chance.get_ydata()[0])
