"""``python -m benchmarks.ablation``: train without parts of the recipe, on a project's own images.

Every variant is trained on the splits of several seeds, each training in its own process. Recorded trainings are not
repeated. Training from scratch is also compared with keras.applications in the same time. Writes docs/results.md.
"""

import statistics
from collections.abc import Sequence

from benchmarks.results import Entry, write_section
from benchmarks.trainings import argument_parser, open_trainings

NAMES = ("default", "head", "plain", "ema", "scratch", "stock", "scratch_as_long")
_HEAD = """| variant | test accuracy | ROC AUC | seconds | epochs | seeds |
| --- | --- | --- | --- | --- | --- |"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the variants that are not recorded, then write the table."""
    parser = argument_parser("ablation", __doc__ or "")
    parser.add_argument("--variants", nargs="+", default=NAMES, choices=NAMES, metavar="VARIANT", help=", ".join(NAMES))
    options = parser.parse_args(arguments)
    trainings = open_trainings(options)
    seeds = [[trainings.entry(name, seed) for name in options.variants] for seed in options.seeds]
    text = f"### Contribution of each part: {trainings.project.name}\n\n{table(list(zip(*seeds, strict=True)))}"
    write_section(text, f"python -m benchmarks.ablation, {trainings.project.name}", options.page)
    print(text)


def table(rows: Sequence[Sequence[Entry]]) -> str:
    """Return a table with one line per variant: medians over seeds, with the lowest and highest.

    Args:
        rows: Entries of each variant, one per seed.
    """
    entries = [entry for row in rows for entry in row]
    return "\n".join([_HEAD, *map(_line, rows), "", conditions(entries)])


def conditions(entries: Sequence[Entry]) -> str:
    """Return the machines, dates and commits of trainings, and the meaning of the columns."""
    runs = sorted({f"{entry['machine']}, {entry['date']}, commit {entry['commit']}" for entry in entries})
    return (
        "Median over splits (lowest–highest). Seconds cover the training from a table of images, with "
        f"validation after each epoch. Measured on {'; '.join(runs)}."
    )


def _line(entries: Sequence[Entry]) -> str:
    cells = [
        entries[0]["title"],
        spread([entry["test"]["accuracy"] for entry in entries]),
        spread([entry["test"]["roc_auc"] for entry in entries]),
        spread([entry["seconds"] for entry in entries], "{:.0f}"),
        spread([entry["epochs"] for entry in entries], "{:.0f}"),
        ", ".join(str(entry["seed"]) for entry in entries),
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], form: str = "{:.3f}") -> str:
    """Format the median, with the lowest and highest of several values."""
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))}–{form.format(max(values))})"


if __name__ == "__main__":
    main()
