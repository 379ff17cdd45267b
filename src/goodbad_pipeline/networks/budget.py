"""The largest network that a budget allows (arXiv 1905.11946, equation 2). Standard library only.

Parameters, multiply-adds and memory are counted; time is measured by a probe that the caller hands in.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import (
    BASE_RESOLUTION,
    MAX_FACTOR,
    MIN_CHANNELS,
    MIN_DEPTH,
    MIN_RESOLUTION,
    SMALLEST_STAGE,
    Coefficients,
    NetworkScale,
    resolve_scale,
)

Probe = Callable[[NetworkScale], float]

STEPS = 100
"""Steps of the grid to one unit of φ: 0.01 apart."""
LARGEST = 10 * STEPS
"""φ = 10: some 400 billion multiply-adds for the standard family, ten times B7."""
_TIMED_STEP = 10
"""Measured time is noisy: a tenth of φ, or 7 % of the operations, is as fine as it can tell."""
_NO_TIME = 1e-12  # milliseconds an activation: a clock may show none, or less for more
_GUESSES = 6
"""Probes that go where the others point, before bisection takes over."""


@dataclass(frozen=True)
class Budget:
    """What a network may cost; None is no limit.

    Attributes:
        max_macs: Multiply-adds for one image, above 0.
        max_parameters: All weights, moving batch statistics included, above 0.
        max_memory_gb: Estimated memory of one training step in gigabytes (10⁹ bytes), above 0.
        max_ms_per_image: Measured milliseconds of prediction for one image, above 0.

    Raises:
        InputError: A limit is not above 0, or there is none.
    """

    max_macs: float | None = None
    max_parameters: float | None = None
    max_memory_gb: float | None = None
    max_ms_per_image: float | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            if not (math.isfinite(limit) and limit > 0):
                raise InputError(f"budget.{name} must be above 0; received {limit!r}.")
        if not self.limits:
            names = ", ".join(field.name for field in fields(self))
            raise InputError(f"budget must limit something; received nothing. Set one of {names}.")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: float(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Step:
    """The training step whose memory is meant, and the classifier.

    Attributes:
        classes: Outputs of the classifier, at least 2.
        batch_size: Images a step, at least 1.
        precision: `float32`, `mixed_float16` or `mixed_bfloat16`.
    """

    classes: int = 1000
    batch_size: int = 1
    precision: str = "float32"


@dataclass(frozen=True)
class BudgetUse:
    """One cost against its limit."""

    name: str
    cost: float
    limit: float

    @property
    def fits(self) -> bool:
        """Whether the cost stays within the limit."""
        return self.cost <= self.limit

    def __str__(self) -> str:
        return f"{self.name}: {self.cost:,.4g} of {self.limit:,.4g}"


@dataclass(frozen=True)
class BudgetResult:
    """The network a budget buys.

    Attributes:
        scale: The network, with its φ.
        bound_by: The limits that the next φ of the grid breaks; empty where the largest φ tried ended the search.
        uses: Each cost and its limit.
    """

    scale: NetworkScale
    bound_by: tuple[str, ...]
    uses: tuple[BudgetUse, ...]

    @property
    def reason(self) -> str:
        """What kept φ from being larger, in words."""
        return " and ".join(self.bound_by) or f"the largest φ tried, {self.scale.phi:g}"


def choose_phi(
    budget: Budget,
    *,
    family: str = "efficientnet",
    coefficients: Coefficients | None = None,
    resolution: int | None = None,
    dropout: float | None = None,
    step: Step | None = None,
    probe: Probe | None = None,
) -> BudgetResult:
    """The largest φ, on a grid of 0.01, whose network stays within every limit.

    Counted costs never fall as φ grows, so bisection finds the largest. The time of prediction is then measured for a
    few networks within the counted limits, a tenth of φ apart.

    Args:
        budget: The limits.
        family: `efficientnet` or `efficientnet_lite`.
        coefficients: α, β and γ; the paper's where None.
        resolution: Input side in pixels that every φ keeps; where None it grows with φ.
        dropout: Rate before the classifier in place of the one that follows from φ.
        step: Classifier, batch and precision that the costs are counted with.
        probe: Measures milliseconds an image; asked only where `max_ms_per_image` is set.

    Raises:
        InputError: Not even the smallest network fits; the message says by how much. Or a value breaks its rule.
    """
    coefficients, step = coefficients or Coefficients(), step or Step()

    def scale_at(place: int) -> NetworkScale:
        return resolve_scale(
            phi=place / STEPS,
            family=family,
            coefficients=coefficients,
            resolution=resolution,
            dropout=dropout,
            quiet=True,
        )

    def counted_at(place: int) -> list[BudgetUse]:
        return list(_count(budget, scale_at(place), step))

    places = _grid(coefficients, resolution)
    fitting = _last(places, lambda place: all(use.fits for use in counted_at(place)))
    _refuse([use for use in counted_at(places[0]) if not use.fits], scale_at(places[0]))
    bound_by = _broken(counted_at(fitting + 1)) if fitting < places[-1] else ()
    if budget.max_ms_per_image is None:
        return BudgetResult(scale_at(fitting), bound_by, tuple(counted_at(fitting)))
    if probe is None:
        raise InputError("budget.max_ms_per_image needs a probe that measures; received none. Hand one in.")
    # From the top down, so that the φ that the other limits allow is among those timed.
    timed = sorted({places[0], *range(fitting, places[0], -_TIMED_STEP)})
    times = _Times([scale_at(place) for place in timed], budget.max_ms_per_image, probe)
    index = times.last_fitting()
    if index < 0:
        _refuse([times.use(0)], scale_at(timed[0]))
    bound_by = bound_by if index == len(timed) - 1 else ("max_ms_per_image",)
    return BudgetResult(scale_at(timed[index]), bound_by, (*counted_at(timed[index]), times.use(index)))


def _count(budget: Budget, scale: NetworkScale, step: Step) -> Iterator[BudgetUse]:
    cost = count_complexity(scale, step.classes)
    if budget.max_macs is not None:
        yield BudgetUse("max_macs", cost.macs, budget.max_macs)
    if budget.max_parameters is not None:
        yield BudgetUse("max_parameters", cost.parameters, budget.max_parameters)
    if budget.max_memory_gb is not None:
        memory = cost.training_memory_bytes(step.batch_size, step.precision)
        yield BudgetUse("max_memory_gb", memory / 1e9, budget.max_memory_gb)


def _broken(uses: Sequence[BudgetUse]) -> tuple[str, ...]:
    return tuple(one.name for one in uses if not one.fits)


def _refuse(broken: Sequence[BudgetUse], smallest: NetworkScale) -> None:
    if broken:
        told = "; ".join(
            f"budget.{one.name} is {one.limit:,.4g}, it takes {one.cost:,.4g}, {one.cost / one.limit:.3g} times that"
            for one in broken
        )
        raise InputError(
            f"budget: not even the smallest network, {smallest.label} at {smallest.resolution} pixels, fits: {told}. "
            "Raise the limit or set a smaller resolution."
        )


def phi_range(coefficients: Coefficients, resolution: int | None = None) -> tuple[float, float]:
    """The smallest and largest φ, on the grid, at which a network exists; −10 and 10 at most.

    Args:
        coefficients: α, β and γ.
        resolution: Input side in pixels that every φ keeps; where None it shrinks with φ, to no less than 32.
    """
    grid = _grid(coefficients, resolution)
    return grid[0] / STEPS, grid[-1] / STEPS


def _grid(coefficients: Coefficients, resolution: int | None) -> range:
    lows = [-LARGEST / STEPS]
    if coefficients.alpha > 1:
        lows.append(math.log(MIN_DEPTH) / math.log(coefficients.alpha))
    if coefficients.beta > 1:
        lows.append(math.log(MIN_CHANNELS / SMALLEST_STAGE) / math.log(coefficients.beta))
    if resolution is None and coefficients.gamma > 1:
        lows.append(math.log(MIN_RESOLUTION / BASE_RESOLUTION) / math.log(coefficients.gamma))
    steepest = max(coefficients.alpha, coefficients.beta, coefficients.gamma)
    high = LARGEST if steepest == 1 else min(LARGEST, math.floor(STEPS * math.log(MAX_FACTOR) / math.log(steepest)))
    return range(math.ceil(max(lows) * STEPS), high + 1)


def _last(places: Sequence[int], fits: Callable[[int], bool]) -> int:
    """The last place that fits, by bisection; the first where none does."""
    low, high = 0, len(places)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(places[middle]) else (low, middle)
    return places[low]


class _Times:
    """Milliseconds an image of networks in ascending order, each measured at most once."""

    def __init__(self, scales: Sequence[NetworkScale], limit: float, probe: Probe) -> None:
        self._scales, self._limit, self._probe = scales, limit, probe
        self._activations = [count_complexity(scale).activations for scale in scales]
        self._measured: dict[int, float] = {}

    def use(self, index: int) -> BudgetUse:
        """The time of one network against the limit."""
        if index not in self._measured:
            self._measured[index] = self._probe(self._scales[index])
        return BudgetUse("max_ms_per_image", self._measured[index], self._limit)

    def last_fitting(self) -> int:
        """Index of the largest network within the limit; -1 where not even the first is.

        The first probe is φ = 0 or the nearest there is; time then grows with activations, which says where to look
        next. Bisection ends what that does not.
        """
        low, high = -1, len(self._scales)
        guess = min(range(high), key=lambda index: abs(self._scales[index].phi or 0.0))
        while high - low > 1:
            guess = min(max(guess, low + 1), high - 1)
            low, high = (guess, high) if self.use(guess).fits else (low, guess)
            guess = self._guess() if len(self._measured) < _GUESSES else (low + high) // 2
        return low

    def _guess(self) -> int:
        """Where a line through the two times nearest to the limit meets it; through one of them and zero at first."""
        near, *others = sorted(self._measured, key=lambda index: abs(self._measured[index] - self._limit))
        others_known = [index for index in others if self._activations[index] != self._activations[near]]
        work, time = (self._activations[others_known[0]], self._measured[others_known[0]]) if others_known else (0, 0.0)
        slope = (self._measured[near] - time) / (self._activations[near] - work)
        allowed = self._activations[near] + (self._limit - self._measured[near]) / max(slope, _NO_TIME)
        return bisect_right(self._activations, allowed) - 1
