"""Time two arms against each other: each in its own process, in alternating pairs.

A noisy machine slows both arms of a pair, and the median of paired ratios ignores single disturbances.
"""

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

Run = Callable[[], object]
Arm = Callable[[Path], Run]
"""Prepares a run in a scratch folder, which both arms share, and returns the function to time."""

STEADY = 0.05  # largest deviation of the reference from itself, as a ratio
STEADY_DIFFERENCE = 0.5  # the same for a difference, as a share of the target
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Benchmark:
    """A comparison of this project with a reference.

    Attributes:
        file: Name of its module.
        name: Name in commands and results.
        compares: Description, "project / reference".
        project: Arm of the project.
        reference: Arm of the reference.
        target: Target of the ratio or difference; None if there is none.
        higher: Whether the ratio is a speed-up (reference / project, at least ``target``) or a cost (project /
            reference, at most ``target``).
        difference: Whether to compare project − reference, at most ``target``, instead of a ratio.
        quantity: Seconds of a run, or bytes of peak memory of the process.
        fresh: Whether every sample needs a new process.
        warm_up: Whether a process runs its arm once before the first sample.
        pairs: Default number of pairs.
        reference_share: Share of the project's work that the reference does; its CPU seconds are divided by it.
    """

    file: str
    name: str
    compares: str
    project: Arm
    reference: Arm
    target: float | None
    higher: bool = True
    difference: bool = False
    quantity: Literal["seconds", "bytes"] = "seconds"
    fresh: bool = False
    warm_up: bool = True
    pairs: int = 7
    reference_share: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One run of an arm.

    Attributes:
        seconds: Wall-clock seconds.
        cpu: CPU seconds of the process and its children.
        bytes: Peak memory of the process so far.
    """

    seconds: float
    cpu: float
    bytes: float


@dataclass(frozen=True)
class Ratio:
    """The result of a benchmark.

    Attributes:
        median: Median ratio, or difference, of the pairs.
        low: Lower end of the 95 % interval of the median.
        high: Upper end of the 95 % interval of the median.
        cpu: Median ratio, or difference, of CPU seconds.
        same: Median for the reference against itself; on a steady machine near 1, or 0 for a difference.
        steady: Whether ``same`` is close enough for a target to count.
        project: Median of the project's samples, in seconds or bytes.
        reference: Median of the reference's samples.
        pairs: Number of pairs.
    """

    median: float
    low: float
    high: float
    cpu: float
    same: float
    steady: bool
    project: float
    reference: float
    pairs: int


class Worker(Protocol):
    """Runs an arm repeatedly."""

    def sample(self) -> Sample:
        """Run the arm once."""
        ...

    def __enter__(self) -> "Worker": ...

    def __exit__(self, *_: object) -> None: ...


Start = Callable[[Benchmark, Literal["project", "reference"], Path], Worker]


def group_by_reference(benchmarks: Iterable[Benchmark]) -> list[list[Benchmark]]:
    """Group benchmarks with a common reference, which then runs once for all of them."""
    groups: dict[Arm, list[Benchmark]] = {}
    for benchmark in benchmarks:
        groups.setdefault(benchmark.reference, []).append(benchmark)
    return list(groups.values())


def measure(benchmarks: Sequence[Benchmark], start: Start, pairs: int | None = None) -> list[Ratio]:
    """Measure the reference against itself, then the project against the reference.

    Args:
        benchmarks: Benchmarks with a common reference.
        start: Starts and warms up the process of an arm.
        pairs: Number of pairs; None for the default of the first benchmark.
    """
    first = benchmarks[0]
    pairs = pairs or first.pairs
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reference, again = (stack.enter_context(start(first, "reference", folder)) for _ in range(2))
        projects = [stack.enter_context(start(benchmark, "project", folder)) for benchmark in benchmarks]
        same = [(first_run, second_run) for first_run, second_run in _rounds([again, reference], pairs)]
        rounds = list(_rounds([*projects, reference], pairs))
    return [
        summarise(benchmark, [(samples[number], samples[-1]) for samples in rounds], same)
        for number, benchmark in enumerate(benchmarks)
    ]


def _rounds(workers: Sequence[Worker], count: int) -> Iterator[list[Sample]]:
    """Sample in the order A B, B A, A B, …, so that no arm always runs first."""
    for index in range(count):
        order = -1 if index % 2 else 1
        yield [worker.sample() for worker in workers[::order]][::order]


Pairs = Sequence[tuple[Sample, Sample]]


def summarise(benchmark: Benchmark, samples: Pairs, same: Pairs) -> Ratio:
    """Compute the result from pairs of samples, the project's first."""
    compare = _differences if benchmark.difference else _ratios
    ratios = compare(samples, benchmark.quantity, benchmark.higher)
    low, high = median_interval(ratios)
    deviation = statistics.median(compare(same, benchmark.quantity, benchmark.higher))
    scaled = [(project, replace(other, cpu=other.cpu / benchmark.reference_share)) for project, other in samples]
    return Ratio(
        statistics.median(ratios),
        low,
        high,
        cpu=statistics.median(compare(scaled, "cpu", benchmark.higher)),
        same=deviation,
        steady=_is_steady(benchmark, deviation),
        project=statistics.median(getattr(project, benchmark.quantity) for project, _ in samples),
        reference=statistics.median(getattr(other, benchmark.quantity) for _, other in samples),
        pairs=len(samples),
    )


def _is_steady(benchmark: Benchmark, same: float) -> bool:
    if benchmark.difference:
        return abs(same) <= STEADY_DIFFERENCE * (benchmark.target or 0)
    return abs(same - 1) <= STEADY


def _ratios(samples: Pairs, quantity: str, higher: bool) -> list[float]:
    values = _values(samples, quantity)
    return [other / project if higher else project / other for project, other in values]


def _differences(samples: Pairs, quantity: str, _: bool) -> list[float]:
    return [project - other for project, other in _values(samples, quantity)]


def _values(samples: Pairs, quantity: str) -> list[tuple[float, float]]:
    return [(getattr(project, quantity), getattr(other, quantity)) for project, other in samples]


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest order statistics that contain the median with 95 % confidence, for any distribution.

    With fewer than six values the extremes are returned, whose confidence is lower.
    """
    count, ordered = len(values), sorted(values)
    outside, skipped = 2 * 0.5**count, 0
    while skipped + 1 < count / 2:
        outside += 2 * math.comb(count, skipped + 1) * 0.5**count
        if outside > 1 - CONFIDENCE:
            break
        skipped += 1
    return ordered[skipped], ordered[-1 - skipped]
