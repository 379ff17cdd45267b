"""Images, manifests and projects for tests."""

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

PROJECT = Path(__file__).parents[1]
SIDE = 40


def make_image(seed: int, *, bright: bool, side: int = SIDE) -> Image.Image:
    """Return a noisy image with a light or a dark disc, which a network can learn to classify."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 190, (side, side, 3))
    rows, columns = np.mgrid[:side, :side]
    centre = rng.integers(side // 3, 2 * side // 3, 2)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (side // 4) ** 2
    pixels[disc] = 250 if bright else 5
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def write_manifest(root: Path, groups: int = 6, per_group: int = 3, labels: tuple[str, ...] = ("bad", "good")) -> Path:
    """Write images and labels.csv with path, label, group and an extra column, weather; return the folder."""
    rows = []
    for number, label in enumerate(labels):
        for group in range(groups):
            for index in range(per_group):
                name = f"images/{label}_{group}_{index}.png"
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                seed = number * 10_000 + group * 100 + index
                (root / name).write_bytes(encoded(make_image(seed, bright=bool(number % 2))))
                rows.append((name, label, f"{label} {group}", "rain" if index % 2 else "sun"))
    pd.DataFrame(rows, columns=["path", "label", "group", "weather"]).to_csv(root / "labels.csv", index=False)
    return root


def make_project(folder: Path) -> Path:
    """Copy the configuration of the project next to a small data set; the code is the installed package."""
    shutil.copytree(PROJECT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    (folder / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder / name)
    write_manifest(folder / "data" / "01_raw" / "characters")
    return folder


def catalog_config() -> dict[str, dict]:
    """Return the entries and patterns of the catalog files in conf/base."""
    entries: dict[str, dict] = {}
    for file in sorted((PROJECT / "conf" / "base").glob("catalog_*.yml")):
        entries |= {name: entry for name, entry in yaml.safe_load(file.read_text()).items() if name[0] != "_"}
    return entries


def parameters(**changes: object) -> dict:
    """Return the parameters of conf/base with changes by dotted name (a double underscore for a dot)."""
    merged: dict = {}
    for file in sorted((PROJECT / "conf" / "base").glob("parameters_*.yml")):
        merged |= yaml.safe_load(file.read_text())
    for name, value in changes.items():
        *groups, leaf = name.split("__")
        node = merged
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return merged
