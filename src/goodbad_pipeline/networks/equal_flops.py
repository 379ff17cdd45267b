"""Networks of equal cost, made larger in one dimension or all three (the paper's Figure 8). Standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.grid import scale_up
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale

DIMENSIONS = ("depth", "width", "resolution", "compound")
_LIMIT = 64.0  # on a factor; multiply-adds grow at least in proportion to it
_STEPS = 40  # halvings: the interval ends far below what moves a layer, a channel or a pixel


@dataclass(frozen=True)
class MatchedNetwork:
    """A base made larger to a wanted cost, as nearly as whole layers, channels and pixels allow.

    Attributes:
        dimension: What grew, one of `DIMENSIONS`.
        multiple: Times the base's multiply-adds that were wanted.
        factor: Times the base's depth, width or resolution; with `compound` it is φ.
        scale: The network.
        ratio: Times the base's multiply-adds that it has.
    """

    dimension: str
    multiple: float
    factor: float
    scale: NetworkScale
    ratio: float


def match_macs(
    base: NetworkScale, dimension: str, multiple: float, coefficients: Coefficients, classes: int
) -> MatchedNetwork:
    """Grow one dimension, or all three by φ, until the network costs `multiple` times its base.

    The cost climbs in steps, so two networks enclose the wanted cost; bisecting finds them, the closer one is taken.

    Args:
        base: The network to start from.
        dimension: One of `DIMENSIONS`.
        multiple: Times the base's multiply-adds, above 1.
        coefficients: α, β and γ of `compound`.
        classes: Outputs of the classifier, at least 2.

    Raises:
        InputError: A value breaks its rule, or no such network is large enough.
    """
    if dimension not in DIMENSIONS:
        raise InputError(f"dimension must be one of {', '.join(DIMENSIONS)}; received {dimension!r}.")
    if multiple <= 1:
        raise InputError(f"multiples must be above 1, for the base itself is 1; received {multiple:g}.")
    grow = _grower(base, dimension, coefficients)
    start = count_complexity(base, classes).macs

    def ratio(factor: float) -> float:
        return count_complexity(grow(factor), classes).macs / start

    smallest = 0.0 if dimension == "compound" else 1.0
    below, above = _enclose(ratio, smallest, multiple, dimension)
    factor = min((below, above), key=lambda value: abs(math.log(ratio(value) / multiple)))
    return MatchedNetwork(dimension, multiple, factor, grow(factor), ratio(factor))


def _grower(base: NetworkScale, dimension: str, coefficients: Coefficients) -> Callable[[float], NetworkScale]:
    def grow(factor: float) -> NetworkScale:
        if dimension == "compound":
            return scale_up(base, coefficients, factor)
        one = {"depth": "alpha", "width": "beta", "resolution": "gamma"}[dimension]
        return scale_up(base, replace(Coefficients(1.0, 1.0, 1.0), **{one: factor}))

    return grow


def _enclose(ratio: Callable[[float], float], low: float, multiple: float, dimension: str) -> tuple[float, float]:
    """The largest factor found with a ratio up to `multiple` and, next to it, one above."""
    high = max(2.0, 2 * low)
    while ratio(high) <= multiple:
        low, high = high, 2 * high
        if high > _LIMIT:
            raise InputError(
                f"multiples must be in reach: no {dimension} up to ×{_LIMIT:g} costs {multiple:g} times the base. "
                "Use smaller multiples, or coefficients above 1."
            )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) <= multiple else (low, middle)
    return low, high
