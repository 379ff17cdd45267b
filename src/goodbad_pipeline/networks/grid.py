"""List the values of α, β and γ to compare at φ = 1 (arXiv 1905.11946, section 3.3, step 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale, power

_ROUNDING = 1e-9  # so that 1.96 counts as within 0.04 of 2 despite binary rounding


@dataclass(frozen=True)
class Candidate:
    """One point (α, β, γ) of the grid, and the base network scaled by this point at φ = 1."""

    coefficients: Coefficients
    scale: NetworkScale

    @property
    def name(self) -> str:
        """The name to show, such as `α 1.2 · β 1.1 · γ 1.15`."""
        return f"α {self.coefficients.alpha:g} · β {self.coefficients.beta:g} · γ {self.coefficients.gamma:g}"


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
