"""Scan (read, hash, decode, fingerprint, write down) against a bare Pillow decode on one core times the cores."""

import os
from pathlib import Path

from PIL import Image

from benchmarks.harness import Benchmark, Run
from benchmarks.photos import write_photos
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates

COUNT, DISTINCT = 2000, 100


def _ours(folder: Path) -> Run:
    write_photos(folder / "photos" / "a", COUNT, DISTINCT)
    candidates = read_candidates(folder / "photos", "folders", None, Columns()).candidates
    return lambda: scan_candidates(candidates, folder / "photos", max_pixels=10**7, background=(255, 255, 255))


def _bare(folder: Path) -> Run:
    share = write_photos(folder / "photos" / "a", COUNT, DISTINCT)[:: os.cpu_count() or 1]

    def run() -> None:
        for file in share:
            Image.open(file).convert("RGB")

    return run


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="scan",
        compares="scan of 640 px JPEGs / bare Pillow decode on one core × cores",
        ours=_ours,
        reference=_bare,
        target=None,
    )
]
