"""The first pass (read, check, decode, resize, store) against a bare Pillow decode and resize on one core × cores."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.harness import Benchmark, Run
from benchmarks.photos import write_photos
from goodbad_pipeline.images.pixel_store import open_pixels
from goodbad_pipeline.images.pixels import PixelSource, Transform

COUNT, SIDE = 400, 224
CORES = os.cpu_count() or 1


def pixel_source(files: Sequence[Path]) -> PixelSource:
    """Return the pixel source of the files of one folder."""
    ids = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    transform = Transform(SIDE, "pad", (255, 255, 255), 10**7, shrink_on_load=True)
    return PixelSource(files[0].parent, ids, [file.name for file in files], transform)


def _project(folder: Path) -> Run:
    source, store = pixel_source(write_photos(folder / "photos", COUNT)), folder / "pixels"

    def run() -> None:
        shutil.rmtree(store, ignore_errors=True)
        open_pixels(store, source)

    return run


def _bare(folder: Path) -> Run:
    share = write_photos(folder / "photos", COUNT)[::CORES]

    def run() -> None:
        for file in share:
            ImageOps.pad(Image.open(file).convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)

    return run


BENCHMARKS = [
    Benchmark(
        file=__name__,
        name="first_pass",
        compares="first pass (decode, resize, cache) / bare Pillow decode and resize on one core × cores",
        project=_project,
        reference=_bare,
        target=0.8,
        reference_share=1 / CORES,
    )
]
