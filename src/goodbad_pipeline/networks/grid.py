"""Step 1 of the paper's section 3.3: the α, β, γ to try at φ = 1. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale, power

_SLACK = 1e-9  # 1.96 is within 0.04 of 2, whatever binary fractions make of it


@dataclass(frozen=True)
class Candidate:
    """One point of the grid.

    Attributes:
        coefficients: Its α, β and γ.
        scale: The network that they make of the base at φ = 1.
    """

    coefficients: Coefficients
    scale: NetworkScale

    @property
    def name(self) -> str:
        """`α 1.2 · β 1.1 · γ 1.15`."""
        return f"α {self.coefficients.alpha:g} · β {self.coefficients.beta:g} · γ {self.coefficients.gamma:g}"


def list_candidates(
    base: NetworkScale, alphas: Sequence[float], betas: Sequence[float], gammas: Sequence[float], tolerance: float
) -> tuple[Candidate, ...]:
    """Every α, β, γ of the grid with |α·β²·γ² − 2| ≤ `tolerance`, as a network, in the order of the grid.

    Two of them may be the same network, for layers round up and channels go to a multiple of 8.

    Args:
        base: The network of φ = 0.
        alphas: Values of α to try, each at least 1.
        betas: Values of β.
        gammas: Values of γ.
        tolerance: How far from 2 the product may lie, at least 0.

    Raises:
        InputError: A value is below 1, or no combination is within the tolerance; the message names the closest.
    """
    grid = [Coefficients(*point) for point in product(*(sorted(set(axis)) for axis in (alphas, betas, gammas)))]
    if not grid:
        raise InputError("alpha, beta and gamma must each list a value to try; one of them is empty.")
    chosen = [point for point in grid if abs(point.product - 2) <= tolerance + _SLACK]
    if not chosen:
        near = min(grid, key=lambda point: abs(point.product - 2))
        raise InputError(
            f"tolerance must admit a candidate: none of {len(grid)} has |α·β²·γ² − 2| ≤ {tolerance:g}; the closest, "
            f"{near.alpha:g}, {near.beta:g}, {near.gamma:g}, has the product {near.product:.3f}. Add values."
        )
    return tuple(Candidate(point, scale_up(base, point)) for point in chosen)


def scale_up(base: NetworkScale, coefficients: Coefficients, phi: float = 1.0) -> NetworkScale:
    """The network that φ makes of `base`, whatever its size: deeper by α^φ, wider by β^φ, larger by γ^φ (equation 3).

    Dropout stays that of the base, so that candidates differ in their shape alone.

    Raises:
        InputError: A coefficient to the power of φ is above 100.
    """
    return replace(
        base,
        depth=base.depth * power("alpha", coefficients.alpha, phi),
        width=base.width * power("beta", coefficients.beta, phi),
        resolution=round(round(base.resolution * power("gamma", coefficients.gamma, phi), 9)),
        phi=None,
        variant=None,
    )
