"""``python -m benchmarks.against_tutorial``: our training beside the usual tutorial's, on a project's own images.

Same images, splits, resolution and network at the start. The tutorial is what one finds when one looks for it:
ImageDataGenerator.flow_from_dataframe with flips, turns, shifts and zoom; the classifier alone by Adam at 1e-3, then
all layers at 1e-4, ten epochs each, with early stopping and the best weights restored. Writes docs/results.md.
"""

import statistics
from collections.abc import Sequence
from typing import Literal

from benchmarks.ablation import spread, told
from benchmarks.results import Entry, put
from benchmarks.trainings import arguments, trainings

_HEAD = """| seed | best validation accuracy of the tutorial | seconds to it: tutorial | ours | ratio | of CPU time \
| validation accuracy at the end: tutorial | ours | test accuracy: tutorial | ours |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
NEVER = float("inf")


def main(said: Sequence[str] | None = None) -> None:
    """Train what is not on record, then write the table."""
    options = arguments("against_tutorial", __doc__ or "").parse_args(said)
    doer, project, _ = trainings(options)
    pairs = [(doer.entry("tutorial", seed), doer.entry("default", seed)) for seed in options.seeds]
    text = f"### Comparison with the usual tutorial: {project.name}\n\n{table(pairs)}"
    put(text, f"python -m benchmarks.against_tutorial, {project.name}", options.page)
    print(text)


def time_to(accuracy: float, entry: Entry, unit: Literal["seconds", "cpu"] = "seconds") -> float:
    """When an accuracy on validation was first there; infinite where it never was."""
    return next((point[unit] for point in entry["curve"] if point["val_accuracy"] >= accuracy), NEVER)


def table(pairs: Sequence[tuple[Entry, Entry]]) -> str:
    """A line a seed and one of medians.

    Args:
        pairs: The tutorial's training and ours, of each seed.
    """
    rows = [_compare(*pair) for pair in pairs]
    lines = [_line(str(pair[0]["seed"]), row) for pair, row in zip(pairs, rows, strict=True)]
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    every = [entry for pair in pairs for entry in pair]
    seconds = [spread([pair[side]["seconds"] for pair in pairs], "{:.0f}") for side in (0, 1)]
    reached = sum(row[3] != NEVER for row in rows)
    share = f"on {reached} of {len(rows)} splits" if medians[3] == NEVER else f"in {_times(medians[3])} of its time"
    verdict = (
        f"Ours reaches the tutorial's best validation accuracy {share}. All of it took the tutorial {seconds[0]} s, "
        f"ours {seconds[1]} s."
    )
    return "\n".join([_HEAD, *lines, _line("median", medians), "", verdict, told(every)])


def _compare(tutorial: Entry, ours: Entry) -> list[float]:
    """The numbers of a line."""
    best = max(point["val_accuracy"] for point in tutorial["curve"])
    theirs, own = time_to(best, tutorial), time_to(best, ours)
    ratios = [own / theirs, time_to(best, ours, "cpu") / time_to(best, tutorial, "cpu")]
    ends = [entry[split]["accuracy"] for split in ("validation", "test") for entry in (tutorial, ours)]
    return [best, theirs, own, *ratios, *ends]


def _line(name: str, row: Sequence[float]) -> str:
    best, theirs, own, *ratios = row[:5]
    cells = [name, f"{best:.3f}", f"{theirs:.1f}", "never" if own == NEVER else f"{own:.1f}"]
    cells += [*map(_times, ratios), *(f"{value:.3f}" for value in row[5:])]
    return f"| {' | '.join(cells)} |"


def _times(ratio: float) -> str:
    return "–" if ratio == NEVER else f"{ratio:.2f}"


if __name__ == "__main__":
    main()
