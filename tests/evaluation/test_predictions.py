import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.predictions import check_class_names, check_predictions

GOOD = np.array([[0.25, 0.75], [0.5, 0.5]])


def test_rows_are_normalised_in_double_precision_and_the_argument_is_unchanged():
    half = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], dtype=np.float16)
    before = half.copy()
    values = check_predictions(np.array([0, 2]), half)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(half, before)


@pytest.mark.parametrize(
    ("y_true", "probabilities", "message"),
    [
        (np.array([0, 1]), np.array([0.1, 0.9]), r"probabilities: shape \(2,\)"),
        (np.array([0, 1]), np.array([[1.0], [1.0]]), r"probabilities: shape \(2, 1\)"),
        (np.array([0]), GOOD, r"y_true: shape \(1,\) for 2 predictions"),
        (np.zeros((0,), int), np.zeros((0, 2)), "no images"),
        (np.array([0.0, 1.0]), GOOD, "dtype float64"),
        (np.array([0, 2]), GOOD, "from 0 to 2; with 2 classes they run from 0 to 1"),
        (np.array([-1, 0]), GOOD, "from -1 to 0"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]]), "1 of 2 rows.*row 1, is.*nan"),
        (np.array([0, 1]), np.array([[3.1, -2.1], [0.5, 0.5]]), "1 of 2 rows.*row 0"),
        (np.array([0, 1]), np.array([[0.9, 0.9], [0.9, 0.9]]), "2 of 2 rows"),
    ],
)
def test_invalid_predictions_are_refused_by_name(y_true, probabilities, message):
    with pytest.raises(InputError, match=message):
        check_predictions(y_true, probabilities)


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.sampled_from([np.float16, np.float32, np.float64]))
def test_every_softmax_passes_in_every_precision(classes, seed, dtype):
    logits = np.random.default_rng(seed).normal(scale=6, size=(20, classes))
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = (softmax / softmax.sum(axis=1, keepdims=True)).astype(dtype)
    values = check_predictions(np.zeros(20, dtype=np.int64), softmax)
    assert (values >= 0).all()
    assert (values <= 1).all()


def test_names_must_match_the_classes():
    check_class_names(["bad", "good"], 2)
    with pytest.raises(InputError, match="3 names for 2 classes"):
        check_class_names(["a", "b", "c"], 2)
