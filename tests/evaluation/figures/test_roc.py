import numpy as np
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.baselines import majority_baseline
from goodbad_pipeline.evaluation.figures import roc_figure
from goodbad_pipeline.evaluation.metrics import roc_auc


def test_each_model_is_named_with_its_area(case, drawn):
    y_true, probabilities, names = case
    majority = majority_baseline(y_true, len(y_true), len(names))
    texts = drawn(roc_figure(y_true, {"model": probabilities, "majority class": majority}, names))
    assert f"model, AUC {roc_auc(y_true, probabilities):.3f}" in texts
    assert {"majority class, AUC 0.500", "chance, AUC 0.500"} <= set(texts)
    assert {"False positive rate", "True positive rate"} <= set(texts)


def test_the_title_names_the_positive_class(drawn):
    y_true, perfect = np.array([0, 1]), np.eye(2)
    assert "ROC: “bad” against “good”" in drawn(roc_figure(y_true, {"model": perfect}, ["good", "bad"]))
    many = roc_figure(np.array([0, 1, 2]), {"model": np.eye(3)}, ["a", "b", "c"])
    assert "ROC: mean of 3 classes, each against the rest" in drawn(many)


def test_curves_rise_from_the_origin_to_the_corner_and_hold_their_area(case):
    y_true, probabilities, names = case
    line = roc_figure(y_true, {"model": probabilities}, names).axes[0].lines[1]
    x, y = line.get_data()
    assert (x[0], y[0], x[-1], y[-1]) == pytest.approx((0, 0, 1, 1))
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= -1e-12).all()
    assert np.trapezoid(y, x) == pytest.approx(roc_auc(y_true, probabilities), abs=2e-3)


def test_a_lone_class_is_refused():
    with pytest.raises(InputError, match="of class b"):
        roc_figure(np.array([1, 1]), {"model": np.eye(2)}, ["a", "b"])
