"""Networks that the scaling search and the scaling study compare (arXiv 1905.11946).

The search compares values of α, β and γ at φ = 1 (section 3.3, step 1). The study compares networks of equal cost,
scaled in depth, width, resolution or all three (figure 8).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale, power

_ROUNDING = 1e-9  # so that 1.96 counts as within 0.04 of 2 despite binary rounding
_MAX_FACTOR = 64.0  # multiply-adds grow at least in proportion to the factor
_HALVINGS = 40  # the final interval is far smaller than a step of one layer, channel or pixel


@dataclass(frozen=True)
class Candidate:
    """One point (α, β, γ) of the grid, and the base network scaled by this point at φ = 1."""

    coefficients: Coefficients
    scale: NetworkScale

    @property
    def name(self) -> str:
        """The name to show, such as `α 1.2 · β 1.1 · γ 1.15`."""
        return f"α {self.coefficients.alpha:g} · β {self.coefficients.beta:g} · γ {self.coefficients.gamma:g}"


@dataclass(frozen=True)
class MatchedNetwork:
    """A network scaled to a requested cost, as closely as whole numbers of layers, channels and pixels allow."""

    dimension: str  # depth, width, resolution or compound
    multiple: float  # requested multiply-adds relative to the base
    factor: float  # depth, width or resolution relative to the base; φ for `compound`
    scale: NetworkScale
    ratio: float  # actual multiply-adds relative to the base


def list_candidates(
    base: NetworkScale, alphas: Sequence[float], betas: Sequence[float], gammas: Sequence[float], tolerance: float
) -> tuple[Candidate, ...]:
    """Return every point of the grid with |α·β²·γ² − 2| ≤ `tolerance`, ordered by α, then β, then γ.

    Because of rounding, two points may give the same network.

    Raises:
        InputError: No point is within the tolerance; the message names the closest point.
    """
    grid = [Coefficients(*point) for point in product(*(sorted(set(axis)) for axis in (alphas, betas, gammas)))]
    candidates = [point for point in grid if abs(point.product - 2) <= tolerance + _ROUNDING]
    if not candidates:
        closest = min(grid, key=lambda point: abs(point.product - 2))
        raise InputError(
            f"tolerance must admit a point of the grid: none of {len(grid)} points has |α·β²·γ² − 2| ≤ {tolerance:g}; "
            f"the closest is alpha {closest.alpha:g}, beta {closest.beta:g}, gamma {closest.gamma:g} with the product "
            f"{closest.product:.3f}. Add values or raise tolerance."
        )
    return tuple(Candidate(point, scale_up(base, point)) for point in candidates)


def scale_up(base: NetworkScale, coefficients: Coefficients, phi: float = 1.0) -> NetworkScale:
    """Multiply the depth of a network by α^φ, its width by β^φ and its resolution by γ^φ (equation 3).

    Dropout does not change, so that candidates differ only in their shape.
    """
    return replace(
        base,
        depth=base.depth * power("alpha", coefficients.alpha, phi),
        width=base.width * power("beta", coefficients.beta, phi),
        resolution=round(round(base.resolution * power("gamma", coefficients.gamma, phi), 9)),
        phi=None,
        variant=None,
    )


def match_macs(
    base: NetworkScale, dimension: str, multiple: float, coefficients: Coefficients, classes: int
) -> MatchedNetwork:
    """Scale one dimension, or all three by φ, until the network costs `multiple` times as much as `base`.

    The cost rises in steps, because layers, channels and pixels are whole numbers. Of the two networks just below and
    just above the requested cost, the closer network is returned.
    """
    scaled = partial(_scale, base, dimension, coefficients)
    start = count_complexity(base, classes).macs

    def ratio(factor: float) -> float:
        return count_complexity(scaled(factor), classes).macs / start

    smallest = 0.0 if dimension == "compound" else 1.0
    below, above = _enclose(ratio, smallest, multiple, dimension)
    factor = min((below, above), key=lambda value: abs(math.log(ratio(value) / multiple)))
    return MatchedNetwork(dimension, multiple, factor, scaled(factor), ratio(factor))


def _scale(base: NetworkScale, dimension: str, coefficients: Coefficients, factor: float) -> NetworkScale:
    if dimension == "compound":
        return scale_up(base, coefficients, factor)
    name = {"depth": "alpha", "width": "beta", "resolution": "gamma"}[dimension]
    return scale_up(base, replace(Coefficients(1.0, 1.0, 1.0), **{name: factor}))


def _enclose(ratio: Callable[[float], float], low: float, multiple: float, dimension: str) -> tuple[float, float]:
    """Return two almost equal factors: `ratio` is at most `multiple` at the first factor, above it at the second."""
    high = max(2.0, 2 * low)
    while ratio(high) <= multiple:
        low, high = high, 2 * high
        if high > _MAX_FACTOR:
            raise InputError(
                f"multiples: {dimension} scaling up to ×{_MAX_FACTOR:g} does not reach {multiple:g} times the cost of "
                "the base. Use smaller multiples or, for compound scaling, larger coefficients."
            )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) <= multiple else (low, middle)
    return low, high
