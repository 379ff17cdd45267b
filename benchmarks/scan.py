"""Scan (read, hash, decode, fingerprint, write down) against a bare Pillow decode on one core times the cores."""

import os
import tempfile
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from benchmarks.harness import Ratio, measure
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates

DISTINCT, COPIES = 100, 20
WIDTH, HEIGHT = 640, 480


def run() -> Ratio:
    """Measure on 2,000 photo-like JPEGs; the bare decode has its share of them: as many as a core would get."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_pictures(root / "a")
        candidates = read_candidates(root, "folders", None, Columns()).candidates
        share = candidates["path"][:: joblib.cpu_count()]

        def ours() -> object:
            return scan_candidates(candidates, root, max_pixels=10**7, background=(255, 255, 255))

        def bare() -> object:
            return [Image.open(root / path).convert("RGB") for path in share]

        return measure("scan / (bare Pillow decode on one core × cores)", ours, bare, pairs=5)


def _write_pictures(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(DISTINCT):
        coarse = Image.fromarray(rng.integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = np.clip(smooth + rng.normal(0, 6, (HEIGHT, WIDTH, 1)), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{number}.jpg", quality=88)
        for copy in range(1, COPIES):
            os.link(folder / f"{number}.jpg", folder / f"{number}_{copy}.jpg")
