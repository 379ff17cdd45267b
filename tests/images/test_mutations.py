"""Tests that take minutes: ten thousand mutations, and scans that are killed."""

import io
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from corrupt_files import MAX_PIXELS, bombs, mutate, write_corrupt_files
from factories import encoded, make_image
from PIL import Image

from goodbad_pipeline.images.decode import Decoded, decode_image
from goodbad_pipeline.images.pixels import Transform, pixel_source
from goodbad_pipeline.images.scan import Scan, scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates

pytestmark = pytest.mark.slow
KILLS = 20
SCAN = """
import sys
from pathlib import Path
from goodbad_pipeline.images import scan, scan_cache
from goodbad_pipeline.images.sources import Columns, read_candidates
scan_cache.SHARD_ROWS, scan.BATCH = 32, 8  # many writes, so that kills hit different ones
root, folder = Path(sys.argv[1]), Path(sys.argv[2])
candidates = read_candidates(root, "folders", None, Columns()).candidates
found = scan.scan_candidates(
    candidates, root, max_pixels=10**6, background=(255, 255, 255), tiff=True, cache_folder=folder
)
found.images.to_parquet(folder / "images.parquet")
found.quarantine.to_parquet(folder / "quarantine.parquet")
"""


def scan(root: Path) -> tuple[pd.DataFrame, Scan]:
    candidates = read_candidates(root, "folders", None, Columns()).candidates
    return candidates, scan_candidates(candidates, root, max_pixels=MAX_PIXELS, background=(255, 255, 255), tiff=True)


def test_ten_thousand_mutations_are_all_accounted_for_and_train(tmp_path: Path) -> None:
    import keras

    ways = [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("PNG", {"compress_level": 0}), ("GIF", {})]
    ways += [("WEBP", {}), ("WEBP", {"lossless": True}), ("BMP", {})]
    sources = [encoded(make_image(number, bright=True), way, **options) for number, (way, options) in enumerate(ways)]
    (tmp_path / "a").mkdir()
    for seed in range(10_000):
        (tmp_path / "a" / f"{seed:05}").write_bytes(mutate(sources[seed % len(sources)], seed))
    candidates, found = scan(tmp_path)
    assert len(candidates) == 10_000 == len(found.images) + len(found.quarantine)
    reasons = {"corrupt", "truncated", "empty", "not_an_image", "too_many_pixels", "unsupported"}
    assert set(found.quarantine["reason"]) <= reasons
    source = pixel_source(
        found.images, tmp_path, Transform(32, "pad", (255, 255, 255), MAX_PIXELS, shrink_on_load=True)
    )
    pixels = np.concatenate(list(source.blocks()))
    assert len(pixels) == found.images["image_id"].nunique()
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(loss="mse")
    history = model.fit(pixels, np.zeros(len(pixels)), batch_size=64, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_scan_that_is_killed_repeatedly_ends_with_the_same_tables(tmp_path: Path) -> None:
    root, scan_cache = tmp_path / "root", tmp_path / "scan_cache"
    write_corrupt_files(root)
    time.sleep(2.1)  # file states must be old enough to be trusted
    scan_cache.mkdir()
    _, whole = scan(root)
    command = [sys.executable, "-c", SCAN, str(root), str(scan_cache)]
    started = time.monotonic()
    subprocess.run([*command[:-1], str(_made(tmp_path / "timing"))], check=True)
    seconds = time.monotonic() - started
    rng, killed = np.random.default_rng(0), 0
    while killed < KILLS:
        process = subprocess.Popen(command)
        try:
            process.wait(rng.uniform(0.2, 1.0) * seconds)
            shutil.rmtree(scan_cache)  # it had ended: the next one starts without a cache
            scan_cache.mkdir()
        except subprocess.TimeoutExpired:
            process.kill()
            killed += process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True)
    for name, table in (("images", whole.images), ("quarantine", whole.quarantine)):
        table.to_parquet(tmp_path / "whole.parquet")
        expected = pd.read_parquet(tmp_path / "whole.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(scan_cache / f"{name}.parquet"), expected)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "TIFF"])
def test_a_decompression_bomb_takes_less_than_a_gigabyte(format: str, tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    file.write_bytes(bombs()[format])
    code = """
import sys
from pathlib import Path
from goodbad_pipeline.images.decode import decode_image
rejected = decode_image(open(sys.argv[1], "rb").read(), max_pixels=50_000_000, background=(0, 0, 0), tiff=True)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(rejected.reason, int(peak.split()[1]) * 1024)  # not ru_maxrss, which a child has from its parent
"""
    run = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    reason, peak = run.stdout.split()
    assert reason == "too_many_pixels"
    assert float(peak) < 1e9


def test_how_much_damage_in_a_jpeg_is_detected() -> None:
    """500 files with one changed byte in the pixel data, of which Pillow alone detects one or two in a hundred."""
    rng = np.random.default_rng(1)
    ours = pillow = 0
    for number in range(500):
        options = ({}, {"progressive": True}, {"subsampling": 0})[number % 3]
        data = bytearray(encoded(_photo(number), "JPEG", quality=(60, 85, 95)[number % 7 % 3], **options))
        place = int(rng.integers(700, len(data) - 20))
        data[place] ^= int(rng.integers(1, 256))
        ours += not isinstance(decode_image(bytes(data), max_pixels=10**6, background=(0, 0, 0)), Decoded)
        try:
            Image.open(io.BytesIO(data)).load()
        except Exception:
            pillow += 1
    assert (ours >= 150, ours >= 10 * pillow) == (True, True), f"found {ours} of 500, Pillow {pillow}"


def _photo(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).resize((200, 200), Image.BICUBIC)
    noisy = np.asarray(coarse).astype(int) + rng.normal(0, 8, (200, 200, 1))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
