"""Planted labels, and probabilities calibrated by them on evidence with known densities."""

import numpy as np
import pytest

from goodbad_pipeline.evaluation.bootstrap import resample_groups
from goodbad_pipeline.review.planting import fit_calibrator, plant_errors


@pytest.mark.parametrize("whole_groups", [False, True])
def test_the_share_of_labels_is_changed_to_other_classes(whole_groups: bool) -> None:
    groups = np.repeat(np.arange(60), 5)
    y = np.random.default_rng(0).integers(0, 3, 300)
    planted = plant_errors(y, groups, 3, 0.1, seed=1, whole_groups=whole_groups)
    assert planted.wrong.sum() == 30
    np.testing.assert_array_equal(planted.wrong, planted.y != y)
    assert planted.y.min() >= 0
    assert planted.y.max() <= 2
    again = plant_errors(y, groups, 3, 0.1, seed=1, whole_groups=whole_groups)
    np.testing.assert_array_equal(again.y, planted.y)
    by_group = planted.wrong.reshape(60, 5)
    assert (by_group.all(axis=1) == by_group.any(axis=1)).all() == whole_groups


def test_images_of_a_group_with_equal_labels_get_equal_wrong_labels_and_large_groups_are_left_out() -> None:
    groups = np.array([0] * 50 + [1] * 5 + [2] * 5)
    planted = plant_errors(np.zeros(60, int), groups, 4, 0.1, seed=0, whole_groups=True)
    assert not planted.wrong[:50].any()
    assert planted.wrong.sum() == 5
    assert len(set(planted.y[planted.wrong])) == 1


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_share_and_probabilities_fit_the_wrong_labels_among_the_given(share: float) -> None:
    """Right labels have evidence N(0, 1), wrong labels N(4, 1), whether planted or given."""
    rng = np.random.default_rng(0)

    def evidence(count: int, part: float) -> tuple[np.ndarray, np.ndarray]:
        wrong = rng.random(count) < part
        return (rng.normal(size=count) + 4 * wrong)[:, None], wrong

    given, wrong = evidence(4000, share)
    trial = evidence(4000, share)[0]
    planted = np.arange(4000) < 400
    trial[:400] = rng.normal(4, 1, (400, 1))
    calibrator = fit_calibrator(trial, planted)
    estimate = calibrator.shares(resample_groups(np.arange(4000), 1, seed=0))[0]
    assert estimate == pytest.approx(share, rel=0.25, abs=0.003)
    probability = np.minimum(1, estimate * calibrator.ratio(given))
    assert probability.min() >= 0
    assert probability.mean() == pytest.approx(share, rel=0.25, abs=0.003)
    if share:
        sure = probability > 0.5
        assert probability[sure].mean() == pytest.approx(wrong[sure].mean(), abs=0.15)
        assert wrong[sure].sum() > 0.5 * wrong.sum()
