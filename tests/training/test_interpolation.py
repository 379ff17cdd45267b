"""The choice between frozen and fine-tuned weights, from losses by image."""

import numpy as np
import pytest

from goodbad_pipeline.training.interpolation import FACTORS, candidate_table, interpolate


def losses(best: float, groups: int, noise: float) -> np.ndarray:
    """Return losses whose expectation is lowest at the factor ``best``, with noise between groups of three images."""
    rng = np.random.default_rng(3)
    ideal = best + noise * rng.normal(size=groups).repeat(3)
    return (np.array(FACTORS)[:, None] - ideal) ** 2


def choose(best: float, groups: int, noise: float = 0.3) -> float:
    table = candidate_table(losses(best, groups, noise), np.arange(groups).repeat(3), FACTORS, 1)
    assert table["chosen"].sum() == 1
    return float(table.loc[table["chosen"], "factor"].iloc[0])


@pytest.mark.parametrize("best", FACTORS)
def test_many_groups_choose_the_best_candidate(best: float) -> None:
    assert choose(best, groups=300) == best


def test_groups_that_disagree_choose_the_middle() -> None:
    assert choose(1.0, groups=4, noise=3.0) == 0.5
    assert choose(1.0, groups=1) == 0.5  # a single group shows no disagreement


def test_the_candidate_nearest_to_the_middle_is_chosen_among_equally_good_ones() -> None:
    """The losses of 0.75 and 1 differ by chance only, those of the others by more."""
    noise = 0.1 * (-1.0) ** np.arange(50)
    losses = np.stack([np.full(50, 0.9), np.full(50, 0.7), np.full(50, 0.5), 0.31 + noise, 0.3 - noise])
    table = candidate_table(losses, np.arange(50), FACTORS, 1)
    assert table.loc[table["chosen"], "factor"].tolist() == [0.75]
    assert table["excess"].idxmin() == 4


@pytest.mark.parametrize(("skill", "expected"), [(0, 1), (0.5, 0.75), (0.9, 0.5), (1, 0.5)])
def test_without_evidence_the_skill_of_the_frozen_network_decides(skill: float, expected: float) -> None:
    table = candidate_table(losses(0.0, 2, 3.0), np.arange(2).repeat(3), FACTORS, skill)
    assert table.loc[table["chosen"], "factor"].tolist() == [expected]


def test_the_table_shows_the_evidence() -> None:
    table = candidate_table(losses(0.75, 20, 0.3), np.arange(20).repeat(3), FACTORS, 1)
    assert table["factor"].tolist() == list(FACTORS)
    assert (table["low"] <= table["log_loss"]).all()
    assert (table["log_loss"] <= table["high"]).all()
    np.testing.assert_allclose(table["log_loss"], losses(0.75, 20, 0.3).mean(axis=1))
    np.testing.assert_allclose(table["excess"], table["log_loss"] - table["log_loss"].min(), atol=1e-12)


def test_chance_is_the_standard_error_of_the_difference_between_groups() -> None:
    rng = np.random.default_rng(0)
    losses = rng.random((2, 200))
    table = candidate_table(losses, np.arange(200), (0.0, 1.0), 1)
    difference = losses[0] - losses[1]
    assert table["chance"].max() == pytest.approx(difference.std(ddof=1) / np.sqrt(200), rel=0.01)
    few = candidate_table(losses[:, :2], np.arange(2), (0.0, 1.0), 1)
    assert few["chance"].max() == pytest.approx(1.84 * difference[:2].std(ddof=1) / np.sqrt(2), rel=0.01)


def test_groups_count_by_their_images() -> None:
    """The frozen network is better on one group of 30 images, the fine-tuned one on ten groups of one image."""
    groups = np.array([0] * 30 + list(range(1, 11)))
    large = groups == 0
    table = candidate_table(np.stack([~large, large]).astype(float), groups, (0.0, 1.0), 1)
    assert table["log_loss"].tolist() == [0.25, 0.75]


def test_no_candidates_give_an_empty_table() -> None:
    assert candidate_table(np.zeros((0, 0)), np.zeros(0, int), (), 1).empty


def test_equal_weights_stay_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    frozen = [rng.normal(size=1000).astype(np.float32), np.array([3], np.int64)]
    tuned = [frozen[0] + 1, frozen[1]]
    mixed = interpolate(frozen, [frozen[0], frozen[1]], 0.3)
    for one, other in zip(mixed, frozen, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    np.testing.assert_allclose(interpolate(frozen, tuned, 0.25)[0], frozen[0] + 0.25, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(interpolate(frozen, tuned, 1.0)[0], tuned[0])
