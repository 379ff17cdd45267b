"""``python -m benchmarks.ablation``: what each part of the recipe is worth, on a project's own images.

Every variant is trained on the splits of several seeds, each training in a process of its own; what is done is not done
again. From scratch is also held against keras.applications from scratch, in the same time. Writes docs/results.md.
"""

import statistics
from collections.abc import Sequence

from benchmarks.results import Entry, put
from benchmarks.trainings import arguments, trainings

NAMES = ("default", "head", "plain", "ema", "scratch", "stock", "scratch_as_long")
_HEAD = """| variant | test accuracy | ROC AUC | seconds | epochs | seeds |
| --- | --- | --- | --- | --- | --- |"""


def main(said: Sequence[str] | None = None) -> None:
    """Train what is not on record, then write the table."""
    parser = arguments("ablation", __doc__ or "")
    parser.add_argument("--variants", nargs="+", default=NAMES, choices=NAMES, metavar="VARIANT", help=", ".join(NAMES))
    options = parser.parse_args(said)
    doer, project, _ = trainings(options)
    seeds = [[doer.entry(name, seed) for name in options.variants] for seed in options.seeds]
    text = f"### Contribution of each part: {project.name}\n\n{table(list(zip(*seeds, strict=True)))}"
    put(text, f"python -m benchmarks.ablation, {project.name}", options.page)
    print(text)


def table(rows: Sequence[Sequence[Entry]]) -> str:
    """A line a variant: medians over seeds with the lowest and highest; under it where, when and by which code.

    Args:
        rows: Entries of each variant, one a seed.
    """
    every = [entry for entries in rows for entry in entries]
    return "\n".join([_HEAD, *map(_line, rows), "", told(every)])


def told(entries: Sequence[Entry]) -> str:
    """Where, when and by which code trainings were made, and what their columns mean."""
    places = sorted({f"{entry['machine']}, {entry['date']}, commit {entry['commit']}" for entry in entries})
    return (
        "Median over splits (lowest–highest). Seconds go from a table of images to a trained network, with "
        f"validation after each epoch. Measured on {'; '.join(places)}."
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
    """Median, and lowest and highest where there are several."""
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))}–{form.format(max(values))})"


if __name__ == "__main__":
    main()
