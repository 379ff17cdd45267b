import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.predictions import check_probabilities


def test_rows_are_normalised_in_double_precision_and_the_argument_is_unchanged():
    half = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], dtype=np.float16)
    before = half.copy()
    values = check_probabilities(half)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(half, before)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.5], [np.nan, 0.5]], "1 of 2 rows.*row 1, is.*nan"),
        ([[3.1, -2.1], [0.5, 0.5]], "1 of 2 rows.*row 0"),
        ([[0.9, 0.9], [0.9, 0.9]], "2 of 2 rows"),
    ],
)
def test_rows_that_are_no_distribution_are_refused(probabilities, message):
    with pytest.raises(InputError, match=message):
        check_probabilities(np.array(probabilities))


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.sampled_from([np.float16, np.float32, np.float64]))
def test_every_softmax_passes_in_every_precision(classes, seed, dtype):
    logits = np.random.default_rng(seed).normal(scale=6, size=(20, classes))
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = (softmax / softmax.sum(axis=1, keepdims=True)).astype(dtype)
    values = check_probabilities(softmax)
    assert (values >= 0).all()
    assert (values <= 1).all()
