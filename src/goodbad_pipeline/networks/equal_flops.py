"""Find networks of equal cost, scaled in depth, width, resolution or all three (arXiv 1905.11946, figure 8)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.grid import scale_up
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale

_MAX_FACTOR = 64.0  # multiply-adds grow at least in proportion to the factor
_HALVINGS = 40  # the final interval is far smaller than a step of one layer, channel or pixel


@dataclass(frozen=True)
class MatchedNetwork:
    """A network scaled to a requested cost, as closely as whole numbers of layers, channels and pixels allow."""

    dimension: str  # depth, width, resolution or compound
    multiple: float  # requested multiply-adds relative to the base
    factor: float  # depth, width or resolution relative to the base; φ for `compound`
    scale: NetworkScale
    ratio: float  # actual multiply-adds relative to the base


def match_macs(
    base: NetworkScale, dimension: str, multiple: float, coefficients: Coefficients, classes: int
) -> MatchedNetwork:
    """Scale one dimension, or all three by φ, until the network costs `multiple` times as much as `base`.

    The cost rises in steps. Bisection finds the networks just below and above the requested cost; the network with
    the closer cost is returned.
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
    """Return two almost equal factors. The first gives at most `multiple` times the base's cost, the second more."""
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
