"""Scan (read, hash, decode, fingerprint) against a bare Pillow decode of the same files on one core."""

from pathlib import Path

from PIL import Image

from benchmarks.harness import Ratio, measure
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates

ROOT = Path(__file__).parents[1] / "data" / "01_raw" / "characters"


def run() -> Ratio:
    """Measure on the sample pictures."""
    candidates = read_candidates(ROOT, "auto", None, Columns()).candidates
    candidates = candidates[~candidates["path"].str.contains("odd")]

    def ours() -> object:
        return scan_candidates(candidates, ROOT, max_pixels=10**7, background=(255, 255, 255))

    def bare() -> object:
        return [Image.open(ROOT / path).convert("RGB") for path in candidates["path"]]

    return measure("scan / bare Pillow decode on one core", ours, bare)
