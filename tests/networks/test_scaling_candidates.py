import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import Coefficients, resolve_scale
from goodbad_pipeline.networks.scaling_candidates import list_candidates, match_macs, scale_up

AXIS = st.lists(st.floats(1, 2), min_size=1, max_size=5)
BASE = resolve_scale(phi=0)
PAPER = Coefficients()
DIMENSIONS = ("depth", "width", "resolution", "compound")


@given(AXIS, AXIS, AXIS, st.floats(0, 0.5))
def test_the_grid_holds_exactly_the_points_within_the_tolerance(alphas, betas, gammas, tolerance):
    near = {
        (alpha, beta, gamma)
        for alpha in alphas
        for beta in betas
        for gamma in gammas
        if abs(alpha * beta**2 * gamma**2 - 2) <= tolerance
    }
    try:
        candidates = list_candidates(BASE, alphas, betas, gammas, tolerance)
    except InputError:
        assert not near
        return
    points = [(c.coefficients.alpha, c.coefficients.beta, c.coefficients.gamma) for c in candidates]
    assert near <= set(points)
    assert len(points) == len(set(points))
    assert points == sorted(points)
    assert all(abs(candidate.coefficients.product - 2) <= tolerance + 1e-6 for candidate in candidates)


def test_the_papers_coefficients_give_the_papers_network():
    (candidate,) = list_candidates(BASE, [1.2], [1.1], [1.15], 0.1)
    ours, theirs = candidate.scale, resolve_scale(phi=1)
    assert (ours.depth, ours.width, ours.resolution) == (theirs.depth, theirs.width, theirs.resolution)
    assert candidate.name == "α 1.2 · β 1.1 · γ 1.15"


def test_scaling_a_base_does_not_change_its_dropout():
    base = resolve_scale(phi=-3, resolution=48)
    scaled = scale_up(base, Coefficients(), 2)
    assert scaled.resolution == round(48 * 1.15**2)
    assert scaled.depth == pytest.approx(1.2**-1)
    assert scaled.dropout == base.dropout


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (([0.9], [1.1], [1.1]), "alpha must be at least 1 and at most 100; received 0.9"),
        (([1.0], [1e200], [1.0]), "beta must be at least 1 and at most 100; received 1e[+]200"),
        (
            ([1.0, 1.1], [1.0], [1.0]),
            r"none of 2 points has .* the closest is alpha 1.1, beta 1, gamma 1 with the product 1.100",
        ),
    ],
)
def test_invalid_grids_name_the_rule(axes, message):
    with pytest.raises(InputError, match=message):
        list_candidates(BASE, *axes, 0.1)


@pytest.mark.no_cover
@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("multiple", [2, 4])
@pytest.mark.parametrize("base", [resolve_scale(phi=0), resolve_scale(variant="lite0")], ids=["b0", "lite0"])
def test_networks_of_equal_cost_are_within_six_percent(dimension, multiple, base):
    match = match_macs(base, dimension, multiple, PAPER, 2)
    assert match.ratio == pytest.approx(multiple, rel=0.06)
    assert match.ratio == count_complexity(match.scale, 2).macs / count_complexity(base, 2).macs


@pytest.mark.no_cover
@settings(max_examples=25)
@given(st.sampled_from(DIMENSIONS), st.floats(1.1, 8), st.floats(-4, 1), st.integers(32, 96))
def test_no_neighbouring_factor_is_closer(dimension, multiple, phi, resolution):
    base = resolve_scale(phi=phi, resolution=resolution, family="efficientnet_lite")
    match = match_macs(base, dimension, multiple, PAPER, 2)
    start = count_complexity(base, 2).macs

    def distance(factor):
        if dimension == "compound":
            scale = scale_up(base, PAPER, max(factor, 0.0))
        else:
            one = {"depth": "alpha", "width": "beta", "resolution": "gamma"}[dimension]
            scale = scale_up(base, Coefficients(**{"alpha": 1, "beta": 1, "gamma": 1, one: max(factor, 1.0)}))
        return abs(math.log(count_complexity(scale, 2).macs / start / multiple))

    assert distance(match.factor) == pytest.approx(abs(math.log(match.ratio / multiple)))
    for step in (1e-9, 1e-4, 0.01, 0.1):
        for neighbour in (match.factor * (1 + step), match.factor * (1 - step)):
            assert distance(match.factor) <= distance(neighbour) + 1e-12


def test_only_the_chosen_dimension_grows():
    base = resolve_scale(phi=0)
    for dimension in ("depth", "width", "resolution"):
        scale = match_macs(base, dimension, 2, PAPER, 2).scale
        changed = [name for name in ("depth", "width", "resolution") if getattr(scale, name) != getattr(base, name)]
        assert changed == [dimension]


def test_a_cost_that_cannot_be_reached_is_an_error():
    with pytest.raises(InputError, match="compound scaling up to ×64 does not reach 2 times the cost"):
        match_macs(resolve_scale(phi=0), "compound", 2, Coefficients(1, 1, 1), 2)
