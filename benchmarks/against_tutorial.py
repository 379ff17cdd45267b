"""``python -m benchmarks.against_tutorial``: compare this project's training with the usual tutorial's.

Both start from the same images, splits, resolution and network. The tutorial uses ImageDataGenerator with flips,
rotations, shifts and zoom. It trains the classifier by Adam at 1e-3, then all layers at 1e-4, ten epochs each, with
early stopping, and restores the best weights. Writes docs/results.md.
"""

import statistics
from collections.abc import Sequence
from typing import Literal

from benchmarks.ablation import conditions, spread
from benchmarks.results import Entry, write_section
from benchmarks.trainings import argument_parser, open_trainings

_HEAD = """| seed | best validation accuracy of the tutorial | seconds to it: tutorial | project | ratio | of CPU time \
| validation accuracy at the end: tutorial | project | test accuracy: tutorial | project |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
NEVER = float("inf")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not recorded, then write the table."""
    options = argument_parser("against_tutorial", __doc__ or "").parse_args(arguments)
    trainings = open_trainings(options)
    pairs = [(trainings.entry("tutorial", seed), trainings.entry("default", seed)) for seed in options.seeds]
    text = f"### Comparison with the usual tutorial: {trainings.project.name}\n\n{table(pairs)}"
    write_section(text, f"python -m benchmarks.against_tutorial, {trainings.project.name}", options.page)
    print(text)


def time_to(accuracy: float, entry: Entry, unit: Literal["seconds", "cpu"] = "seconds") -> float:
    """Return when a validation accuracy was first reached; infinite if never."""
    return next((point[unit] for point in entry["curve"] if point["val_accuracy"] >= accuracy), NEVER)


def table(pairs: Sequence[tuple[Entry, Entry]]) -> str:
    """Return a table with one line per seed, and medians.

    Args:
        pairs: Per seed, the entries of the tutorial and of the project.
    """
    rows = [_compare(*pair) for pair in pairs]
    lines = [_line(str(pair[0]["seed"]), row) for pair, row in zip(pairs, rows, strict=True)]
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    entries = [entry for pair in pairs for entry in pair]
    seconds = [spread([pair[side]["seconds"] for pair in pairs], "{:.0f}") for side in (0, 1)]
    reached = sum(row[3] != NEVER for row in rows)
    share = f"on {reached} of {len(rows)} splits" if medians[3] == NEVER else f"in {_times(medians[3])} of its time"
    verdict = (
        f"This project reaches the tutorial's best validation accuracy {share}. The whole training takes the tutorial "
        f"{seconds[0]} s and this project {seconds[1]} s."
    )
    return "\n".join([_HEAD, *lines, _line("median", medians), "", verdict, conditions(entries)])


def _compare(tutorial: Entry, project: Entry) -> list[float]:
    best = max(point["val_accuracy"] for point in tutorial["curve"])
    seconds = [time_to(best, entry) for entry in (tutorial, project)]
    ratios = [seconds[1] / seconds[0], time_to(best, project, "cpu") / time_to(best, tutorial, "cpu")]
    ends = [entry[split]["accuracy"] for split in ("validation", "test") for entry in (tutorial, project)]
    return [best, *seconds, *ratios, *ends]


def _line(name: str, row: Sequence[float]) -> str:
    best, tutorial, project, *ratios = row[:5]
    cells = [name, f"{best:.3f}", f"{tutorial:.1f}", "never" if project == NEVER else f"{project:.1f}"]
    cells += [*map(_times, ratios), *(f"{value:.3f}" for value in row[5:])]
    return f"| {' | '.join(cells)} |"


def _times(ratio: float) -> str:
    return "–" if ratio == NEVER else f"{ratio:.2f}"


if __name__ == "__main__":
    main()
