"""Scan (read, hash, decode, fingerprint, record) against a bare Pillow decode on one core × cores.

A second benchmark runs the bare decode in one process per core, as a limit.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks.harness import Benchmark, Run
from benchmarks.photos import write_photos
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates

COUNT, DISTINCT = 6000, 100
CORES = os.cpu_count() or 1


def _project(folder: Path) -> Run:
    write_photos(folder / "photos" / "a", COUNT, DISTINCT)
    candidates = read_candidates(folder / "photos", "folders", None, Columns()).candidates
    return lambda: scan_candidates(candidates, folder / "photos", max_pixels=10**7, background=(255, 255, 255))


def _bare(folder: Path) -> Run:
    share = write_photos(folder / "photos" / "a", COUNT, DISTINCT)[::CORES]
    return lambda: _decode(share)


def _on_all_cores(folder: Path) -> Run:
    files = write_photos(folder / "photos" / "a", COUNT, DISTINCT)

    def run() -> None:
        with ProcessPoolExecutor(CORES) as pool:
            list(pool.map(_decode, [files[start::CORES] for start in range(CORES)]))

    return run


def _decode(files: Sequence[Path]) -> None:
    for file in files:
        Image.open(file).convert("RGB")


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="scan",
        compares="scan of 640 px JPEGs / bare Pillow decode on one core × cores",
        project=_project,
        reference=_bare,
        target=0.8,
        reference_share=1 / CORES,
    ),
    Benchmark(
        file=__name__,
        name="scan_limit",
        compares="bare Pillow decode in one process per core / on one core × cores",
        project=_on_all_cores,
        reference=_bare,
        target=None,
        reference_share=1 / CORES,
    ),
]
