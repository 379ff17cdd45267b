"""Time two arms against each other: each in a process of its own, in alternating pairs.

A noisy machine is then noisy to both, and the median of paired ratios forgives what hits one alone.
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
"""Prepares in a scratch folder, which both arms share, and returns what is timed."""

STEADY = 0.05  # how far two arms that do the same may be apart
STEADY_DIFFERENCE = 0.5  # the same where seconds are subtracted, as a share of the target
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Benchmark:
    """Something of ours beside something else.

    Attributes:
        file: Module it is in.
        name: To call it by.
        compares: What is held against what.
        ours: Our arm.
        reference: The other.
        target: What the ratio should reach; None where it is for information.
        higher: Whether the ratio says how many times as fast as the reference ours is, to be at least ``target``.
            Otherwise it says how many times as much ours takes, to be at most ``target``.
        difference: Whether it is no ratio but what ours takes less what the reference takes, to be at most ``target``.
        quantity: What is compared: seconds of a run, or bytes, the most a process ever held.
        fresh: Whether every sample needs a new process.
        warm_up: Whether a process runs its arm once before anything counts; what starts processes itself needs none.
        pairs: How many, where nobody says another number.
        share: Part of our work that the reference does, where it stands for as many cores; its processor seconds are
            divided by it.
    """

    file: str
    name: str
    compares: str
    ours: Arm
    reference: Arm
    target: float | None
    higher: bool = True
    difference: bool = False
    quantity: Literal["seconds", "bytes"] = "seconds"
    fresh: bool = False
    warm_up: bool = True
    pairs: int = 7
    share: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One run of an arm.

    Attributes:
        seconds: By the clock.
        cpu: Seconds of processors, of the process and of those it started.
        bytes: The most memory that the process held until then.
    """

    seconds: float
    cpu: float
    bytes: float


@dataclass(frozen=True)
class Ratio:
    """What a benchmark gave.

    Attributes:
        median: Of the ratios of pairs, or of their differences.
        low: Lower end of a 95 % interval of that median.
        high: Upper end.
        cpu: The same median of processor seconds.
        same: The same of the reference and itself; close to 1, or of a difference to 0, on a machine to be trusted.
        steady: Whether it is close enough for a target to count.
        ours: Median of our samples, seconds or bytes.
        reference: Median of the other's.
        pairs: Their number.
    """

    median: float
    low: float
    high: float
    cpu: float
    same: float
    steady: bool
    ours: float
    reference: float
    pairs: int


class Worker(Protocol):
    """Runs an arm, again and again."""

    def sample(self) -> Sample:
        """Run it once."""
        ...

    def __enter__(self) -> "Worker": ...

    def __exit__(self, *_: object) -> None: ...


Start = Callable[[Benchmark, Literal["ours", "reference"], Path], Worker]


def together(benchmarks: Iterable[Benchmark]) -> list[list[Benchmark]]:
    """Group those that have a reference in common, so that it need not run for each of them."""
    groups: dict[Arm, list[Benchmark]] = {}
    for benchmark in benchmarks:
        groups.setdefault(benchmark.reference, []).append(benchmark)
    return list(groups.values())


def measure(benchmarks: Sequence[Benchmark], start: Start, pairs: int | None = None) -> list[Ratio]:
    """Pair the reference with itself, then ours with the reference.

    Args:
        benchmarks: What; they have the reference in common.
        start: Starts the process of an arm and has it warmed up: its first run does not count.
        pairs: How many; None for as many as the first benchmark says.
    """
    first = benchmarks[0]
    pairs = pairs or first.pairs
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reference, again = (stack.enter_context(start(first, "reference", folder)) for _ in range(2))
        ours = [stack.enter_context(start(benchmark, "ours", folder)) for benchmark in benchmarks]
        same = [(one, other) for one, other in _rounds([again, reference], pairs)]
        rounds = list(_rounds([*ours, reference], pairs))
    return [
        summarise(benchmark, [(samples[number], samples[-1]) for samples in rounds], same)
        for number, benchmark in enumerate(benchmarks)
    ]


def _rounds(workers: Sequence[Worker], count: int) -> Iterator[list[Sample]]:
    """A B, B A, A B, …: none is always the one that comes first."""
    for number in range(count):
        turn = -1 if number % 2 else 1
        yield [worker.sample() for worker in workers[::turn]][::turn]


Pairs = Sequence[tuple[Sample, Sample]]


def summarise(benchmark: Benchmark, samples: Pairs, same: Pairs) -> Ratio:
    """Make a ratio of pairs of samples, ours first."""
    compare = _differences if benchmark.difference else _ratios
    ratios = compare(samples, benchmark.quantity, benchmark.higher)
    low, high = median_interval(ratios)
    apart = statistics.median(compare(same, benchmark.quantity, benchmark.higher))
    per_share = [(ours, replace(other, cpu=other.cpu / benchmark.share)) for ours, other in samples]
    return Ratio(
        statistics.median(ratios),
        low,
        high,
        cpu=statistics.median(compare(per_share, "cpu", benchmark.higher)),
        same=apart,
        steady=_is_steady(benchmark, apart),
        ours=statistics.median(getattr(ours, benchmark.quantity) for ours, _ in samples),
        reference=statistics.median(getattr(other, benchmark.quantity) for _, other in samples),
        pairs=len(samples),
    )


def _is_steady(benchmark: Benchmark, apart: float) -> bool:
    """Whether two arms that did the same came out the same, as closely as the target needs."""
    if benchmark.difference:
        return abs(apart) <= STEADY_DIFFERENCE * (benchmark.target or 0)
    return abs(apart - 1) <= STEADY


def _ratios(samples: Pairs, quantity: str, higher: bool) -> list[float]:
    values = _values(samples, quantity)
    return [other / ours if higher else ours / other for ours, other in values]


def _differences(samples: Pairs, quantity: str, _: bool) -> list[float]:
    return [ours - other for ours, other in _values(samples, quantity)]


def _values(samples: Pairs, quantity: str) -> list[tuple[float, float]]:
    return [(getattr(ours, quantity), getattr(other, quantity)) for ours, other in samples]


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with 95 % confidence, whatever the distribution.

    With fewer than six values even the extremes promise less; they are returned all the same.
    """
    count, ordered = len(values), sorted(values)
    outside, skipped = 2 * 0.5**count, 0
    while skipped + 1 < count / 2:
        outside += 2 * math.comb(count, skipped + 1) * 0.5**count
        if outside > 1 - CONFIDENCE:
            break
        skipped += 1
    return ordered[skipped], ordered[-1 - skipped]
