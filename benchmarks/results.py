"""Results of benchmarks, stored as JSON and shown as a table."""

import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.harness import Benchmark, Ratio

Entry = dict[str, Any]
MAKE_BENCH = "make bench"
_HEAD = """| what | ratio | 95 % interval | of CPU time | target | met | same against same |
| --- | --- | --- | --- | --- | --- | --- |"""


def record(benchmark: Benchmark, ratio: Ratio) -> Entry:
    """Return the stored entry of a result. A target counts only if the reference against itself is steady."""
    return {
        "name": benchmark.name,
        "compares": benchmark.compares,
        "ratio": round(ratio.median, 3),
        "low": round(ratio.low, 3),
        "high": round(ratio.high, 3),
        "cpu": round(ratio.cpu, 3),
        "target": benchmark.target,
        "higher_is_better": _higher(benchmark),
        "difference": benchmark.difference,
        "met": _met(benchmark, ratio),
        "same_against_same": round(ratio.same, 3),
        "pairs": ratio.pairs,
        "project": float(f"{ratio.project:.4g}"),
        "reference": float(f"{ratio.reference:.4g}"),
        "unit": benchmark.quantity,
        "date": date.today().isoformat(),
        "machine": machine(),
    }


def _met(benchmark: Benchmark, ratio: Ratio) -> bool | None:
    if benchmark.target is None or not ratio.steady:
        return None
    return ratio.median >= benchmark.target if _higher(benchmark) else ratio.median <= benchmark.target


def _higher(benchmark: Benchmark) -> bool:
    return benchmark.higher and not benchmark.difference


def machine() -> str:
    """Return the processor and the number of its cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def read(file: Path) -> dict[str, Entry]:
    """Return the entries by name; none if the file does not exist."""
    entries = json.loads(file.read_text()) if file.is_file() else []
    return {entry["name"]: entry for entry in entries}


def write(entries: dict[str, Entry], file: Path, page: Path) -> None:
    """Write the entries to the JSON file, and their table into the page."""
    write_json(entries, file)
    write_section(table(list(entries.values())), MAKE_BENCH, page)


def write_json(entries: dict[str, Entry], file: Path) -> None:
    """Write the entries to the JSON file."""
    file.write_text(json.dumps(list(entries.values()), indent=2, ensure_ascii=False) + "\n")


def write_section(text: str, command: str, page: Path) -> None:
    """Write the output of a command between its markers in the page, or at the end of the page."""
    begin, end = f"<!-- begin: {command} -->", f"<!-- end: {command} -->"
    page_text = page.read_text() if page.is_file() else "# Results\n"
    if begin not in page_text:
        page_text += f"\n{begin}\n{end}\n"
    before, _, rest = page_text.partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def table(entries: list[Entry]) -> str:
    """Return a Markdown table, with machines and dates."""
    runs = sorted({f"{entry['machine']}, {entry['date']}" for entry in entries})
    return "\n".join([_HEAD, *map(row, entries), "", f"Measured on {'; '.join(runs)}."])


def row(entry: Entry) -> str:
    """Return one line of the table."""
    unit = " s" if entry.get("difference") else ""
    target = "" if entry["target"] is None else f"{'≥' if entry['higher_is_better'] else '≤'} {entry['target']:g}{unit}"
    met = {True: "yes", False: "no", None: "" if not target else "unsteady"}[entry["met"]]
    cells = [
        entry["compares"],
        f"{entry['ratio']:.2f}{unit}",
        f"{entry['low']:.2f} – {entry['high']:.2f}{unit}, {entry['pairs']} pairs",
        f"{entry['cpu']:.2f}{unit}",
        target,
        met,
        f"{entry['same_against_same']:.2f}{unit}",
    ]
    return f"| {' | '.join(cells)} |"
