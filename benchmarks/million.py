"""``python -m benchmarks.million [rows]``: run ``kedro run`` twice on a manifest of a million rows.

Prints the seconds of the first run and of an unchanged rerun, and the peak memory of the parent process. The files are
hard links to a few thousand images.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.projects import KEDRO, copy_project

DISTINCT, SIDE, PER_GROUP, PER_FOLDER = 4000, 64, 100, 10_000


def main(rows: int) -> None:
    """Write the images, run twice and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        _write_manifest(project / "images", rows)
        for name in ("first run", "rerun, nothing changed"):
            seconds, gigabytes = _ingest(project)
            print(f"{name}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} per s, peak {gigabytes:.2f} GB")


def _write_manifest(root: Path, rows: int) -> None:
    """Write the manifest and its images, hard links to files of coarse noise."""
    originals = root / "originals"
    originals.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(min(DISTINCT, rows)):
        coarse = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(originals / f"{number}.png")
    with (root / "labels.csv").open("w", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(["path", "label", "group"])
        for row in range(rows):
            number = row % DISTINCT
            path = Path(f"{row // PER_FOLDER:04d}", f"{row:07d}.png")
            if row % PER_FOLDER == 0:
                (root / path).parent.mkdir()
            os.link(originals / f"{number}.png", root / path)
            manifest.writerow([path, "good" if number % 2 else "bad", number // PER_GROUP])


def _ingest(project: Path) -> tuple[float, float]:
    """Return wall-clock seconds and the peak memory of the parent in GB; its workers need less."""
    command = [KEDRO, "run", "--pipeline=data", f"--params=images.root={project / 'images'}"]
    started = time.perf_counter()
    run = subprocess.Popen(command, cwd=project)
    _, status, usage = os.wait4(run.pid, 0)
    if status:
        sys.exit(f"kedro run ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
