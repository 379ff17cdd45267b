"""Synthetic JPEGs that cost as much to decode as photographs."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 640, 480


def write_photos(folder: Path, count: int, distinct: int | None = None) -> list[Path]:
    """Write ``count`` JPEGs of 640 × 480 pixels, unless they exist; return their paths.

    Only the first ``distinct`` differ, by default all; the others are hard links to them. A separate process writes
    them: otherwise the decoder of the arm that wrote them would reuse its memory and be up to 1.4 times as fast.
    """
    files = [folder / f"{number}.jpg" for number in range(count)]
    if not all(file.exists() for file in files):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            process.submit(_write, files, distinct).result()
    return files


def _write(files: Sequence[Path], distinct: int | None) -> None:
    files[0].parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number, file in enumerate(files):
        if file.exists():
            continue
        if distinct is None or number < distinct:
            _photo(rng).save(file, quality=88)
        else:
            os.link(files[number % distinct], file)


def _photo(rng: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(smooth + rng.normal(0, 6, (HEIGHT, WIDTH, 1)), 0, 255)
    return Image.fromarray(noisy.astype(np.uint8))
