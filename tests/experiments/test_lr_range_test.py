import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.experiments.lr_range_test import suggest_range


def curve(losses: list[float]) -> pd.DataFrame:
    rates = np.geomspace(1e-4, 1, len(losses))
    return pd.DataFrame({"learning_rate": rates, "loss": losses, "smoothed": losses})


def test_the_range_ends_where_the_loss_is_lowest() -> None:
    low, high = suggest_range(curve([0.7, 0.6, 0.4, 0.9, 3.0]))
    assert high == pytest.approx(1e-2)
    assert low == pytest.approx(1e-4)


def test_a_loss_of_nan_is_never_the_lowest() -> None:
    assert suggest_range(curve([0.7, 0.6, float("nan")]))[1] == pytest.approx(1e-2)


@pytest.mark.parametrize("losses", [[0.7, 0.8, 0.9, 3.0], [float("nan")] * 4])
def test_a_loss_that_never_falls_gives_the_whole_range(losses: list[float]) -> None:
    assert suggest_range(curve(losses)) == pytest.approx((1e-4, 1))


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60))
def test_the_range_of_any_curve_can_be_searched(losses: list[float]) -> None:
    low, high = suggest_range(curve(losses))
    assert 0 < low < high <= 1
