"""Choose the largest network within a budget, a set of cost limits (arXiv 1905.11946, equation 2).

Parameters, multiply-adds and memory are computed. Time is measured by the probe, a function that the caller passes.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import scaling
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale, resolve_scale

Probe = Callable[[NetworkScale], float]

STEPS = 100  # grid points per unit of φ
LARGEST = 10 * STEPS  # φ = 10: about 400 billion multiply-adds for the standard family, ten times B7
_TIMED_STEP = 10  # grid points between two timed networks: 0.1 of φ changes the operations by only 7 %
_MIN_SLOPE = 1e-12  # milliseconds per activation; measured times may be zero, or fall for a larger network
_MAX_GUESSES = 6  # measurements chosen by interpolation; later ones are chosen by bisection


@dataclass(frozen=True)
class Budget:
    """Limits on the cost of a network. At least one is set; None means no limit."""

    max_macs: float | None = None  # multiply-adds for one image
    max_parameters: float | None = None  # all weights, including moving batch statistics
    max_memory_gb: float | None = None  # estimated memory of one training step, in 10⁹ bytes
    max_ms_per_image: float | None = None  # measured prediction time

    def __post_init__(self) -> None:
        if not self.limits:
            names = ", ".join(field.name for field in fields(self))
            raise InputError(f"budget must limit something; received nothing. Set one of {names}.")

    @property
    def limits(self) -> dict[str, float]:
        """Return the limits that are set, as a dict of name and value."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: float(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Step:
    """The training step whose memory is estimated. `precision` is the name of a Keras dtype policy."""

    classes: int = 1000
    batch_size: int = 1
    precision: str = "float32"


@dataclass(frozen=True)
class BudgetUse:
    """One cost and its limit."""

    name: str
    cost: float
    limit: float

    @property
    def fits(self) -> bool:
        """True if the cost does not exceed the limit."""
        return self.cost <= self.limit

    def __str__(self) -> str:
        return f"{self.name}: {self.cost:,.4g} of {self.limit:,.4g}"


@dataclass(frozen=True)
class BudgetResult:
    """The largest network within a budget."""

    scale: NetworkScale
    bound_by: tuple[str, ...]  # limits that the next larger φ would exceed; empty at the largest φ of the grid
    uses: tuple[BudgetUse, ...]

    @property
    def reason(self) -> str:
        """The reason why φ is not larger."""
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
    """Return the network with the largest φ that stays within every limit.

    Computed costs never fall as φ grows, so bisection finds the largest fitting φ, in steps of 0.01. If
    `max_ms_per_image` is set, φ is then lowered in steps of 0.1 until prediction is fast enough. `probe` measures the
    prediction time of a network, in milliseconds per image. If `resolution` is None, the resolution grows with φ.

    Raises:
        InputError: A value is invalid, or even the smallest network exceeds a limit.
    """
    coefficients, step = coefficients or Coefficients(), step or Step()

    def scale_at(point: int) -> NetworkScale:
        return resolve_scale(
            phi=point / STEPS, family=family, coefficients=coefficients, resolution=resolution, dropout=dropout
        )

    def counted_at(point: int) -> list[BudgetUse]:
        return _count(budget, scale_at(point), step)

    grid = _grid(coefficients, resolution)
    fitting = bisect_left(grid, True, key=lambda point: not all(use.fits for use in counted_at(point)))
    largest = grid[max(fitting - 1, 0)]
    _require_fit(counted_at(grid[0]), scale_at(grid[0]))
    bound_by = tuple(use.name for use in counted_at(largest + 1) if not use.fits) if largest < grid[-1] else ()
    if budget.max_ms_per_image is None:
        return BudgetResult(scale_at(largest), bound_by, tuple(counted_at(largest)))
    if probe is None:
        raise InputError("budget.max_ms_per_image needs a probe that measures time; received none. Pass a probe.")
    # The grid is built downwards, so that it contains the largest φ within the other limits.
    timed = sorted({grid[0], *range(largest, grid[0], -_TIMED_STEP)})
    times = _Times([scale_at(point) for point in timed], budget.max_ms_per_image, probe)
    index = times.last_fitting()
    if index < 0:
        _require_fit([times.use(0)], scale_at(timed[0]))
    bound_by = bound_by if index == len(timed) - 1 else ("max_ms_per_image",)
    return BudgetResult(scale_at(timed[index]), bound_by, (*counted_at(timed[index]), times.use(index)))


def phi_range(coefficients: Coefficients, resolution: int | None = None) -> tuple[float, float]:
    """Return the smallest and largest φ for which a network is possible, within −10 to 10.

    If `resolution` is None, the resolution shrinks with φ and must stay at least 32 pixels.
    """
    grid = _grid(coefficients, resolution)
    return grid[0] / STEPS, grid[-1] / STEPS


def _count(budget: Budget, scale: NetworkScale, step: Step) -> list[BudgetUse]:
    """Return the computed costs that the budget limits."""
    cost = count_complexity(scale, step.classes)
    memory_gb = cost.training_memory_bytes(step.batch_size, step.precision) / 1e9
    costs = {"max_macs": cost.macs, "max_parameters": cost.parameters, "max_memory_gb": memory_gb}
    return [BudgetUse(name, costs[name], limit) for name, limit in budget.limits.items() if name in costs]


def _require_fit(uses: Sequence[BudgetUse], smallest: NetworkScale) -> None:
    exceeded = "; ".join(
        f"budget.{use.name} is {use.limit:,.4g} but {use.cost:,.4g} is needed, {use.cost / use.limit:.3g} times as much"
        for use in uses
        if not use.fits
    )
    if exceeded:
        raise InputError(
            f"budget: not even the smallest network, {smallest.label} at {smallest.resolution} pixels, fits: "
            f"{exceeded}. Raise the limit or set a smaller resolution."
        )


def _grid(coefficients: Coefficients, resolution: int | None) -> range:
    lows = [-LARGEST / STEPS]
    if coefficients.alpha > 1:
        lows.append(math.log(scaling.MIN_DEPTH) / math.log(coefficients.alpha))
    if coefficients.beta > 1:
        lows.append(math.log(scaling.MIN_CHANNELS / scaling.SMALLEST_STAGE) / math.log(coefficients.beta))
    if resolution is None and coefficients.gamma > 1:
        lows.append(math.log(scaling.MIN_RESOLUTION / scaling.BASE_RESOLUTION) / math.log(coefficients.gamma))
    steepest = max(coefficients.alpha, coefficients.beta, coefficients.gamma)
    high = LARGEST
    if steepest > 1:
        high = min(high, math.floor(STEPS * math.log(scaling.MAX_FACTOR) / math.log(steepest)))
    return range(math.ceil(max(lows) * STEPS), high + 1)


class _Times:
    """Prediction times of networks, in ms per image. Each network is measured at most once."""

    def __init__(self, scales: Sequence[NetworkScale], limit: float, probe: Probe) -> None:
        self._scales, self._limit, self._probe = scales, limit, probe
        self._activations = [count_complexity(scale).activations for scale in scales]
        self._measured: dict[int, float] = {}

    def use(self, index: int) -> BudgetUse:
        """Return the prediction time, measured at the first call, and the limit of the time."""
        if index not in self._measured:
            self._measured[index] = self._probe(self._scales[index])
        return BudgetUse("max_ms_per_image", self._measured[index], self._limit)

    def last_fitting(self) -> int:
        """Return the index of the largest network within the limit, or -1 if every network exceeds the limit.

        The network closest to φ = 0 is measured first. Interpolation chooses the next networks. After `_MAX_GUESSES`
        measurements, bisection chooses.
        """
        low, high = -1, len(self._scales)
        guess = min(range(high), key=lambda index: abs(self._scales[index].phi or 0.0))
        while high - low > 1:
            guess = min(max(guess, low + 1), high - 1)
            low, high = (guess, high) if self.use(guess).fits else (low, guess)
            guess = self._interpolate() if len(self._measured) < _MAX_GUESSES else (low + high) // 2
        return low

    def _interpolate(self) -> int:
        """Return the index of the network that is expected to be the largest within the limit.

        Time is assumed to be linear in activations. The line runs through the two measurements closest to the limit.
        After a single measurement, the line runs through this measurement and the origin.
        """
        near, *others = sorted(self._measured, key=lambda index: abs(self._measured[index] - self._limit))
        distinct = [index for index in others if self._activations[index] != self._activations[near]]
        work, elapsed = (self._activations[distinct[0]], self._measured[distinct[0]]) if distinct else (0, 0.0)
        slope = (self._measured[near] - elapsed) / (self._activations[near] - work)
        allowed = self._activations[near] + (self._limit - self._measured[near]) / max(slope, _MIN_SLOPE)
        return bisect_right(self._activations, allowed) - 1
