import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.grid import list_candidates, scale_up
from goodbad_pipeline.networks.scaling import Coefficients, resolve_scale

AXIS = st.lists(st.floats(1, 2), min_size=1, max_size=5)
BASE = resolve_scale(phi=0)


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
