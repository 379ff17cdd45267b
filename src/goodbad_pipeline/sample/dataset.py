"""The sample dataset of the project: images of good and bad cartoon characters, and a few bad files."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from PIL import Image

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.sample.bad_files import draw_oddities
from goodbad_pipeline.sample.characters import Character, design_characters
from goodbad_pipeline.sample.drawing import POSES, draw_character

SAMPLE_SEED = 15
MANIFEST = "labels.csv"
COLUMNS = ("path", "label", "group", "skin_tone", "hair", "age", "clothes", "background", "pose")


@dataclass(frozen=True)
class Sample:
    """A sample in memory."""

    files: Mapping[str, bytes]  # content by path, relative to the folder of the manifest
    manifest: pd.DataFrame  # one row per image with the columns `COLUMNS`, all text


def draw_sample(seed: int = SAMPLE_SEED) -> Sample:
    """Draw the sample: sixty characters in eight poses each, and the files of `draw_oddities`.

    The same seed gives the same bytes with the same version of Pillow.
    """
    files: dict[str, bytes] = {}
    rows: list[dict[str, str]] = []
    for character in design_characters(seed):
        for index, pose in enumerate(POSES):
            suffix = "png" if index == character.number % len(POSES) else "jpg"  # one PNG per character
            path = f"images/{character.group}/pose_{index}.{suffix}"
            files[path] = _encode(draw_character(character, pose, seed), path)
            rows.append(describe(path, character, character.label, character.group, pose.name))
    for oddity in draw_oddities(files, seed):
        files[oddity.path] = oddity.content
        rows.append(describe(oddity.path, oddity.character, oddity.label, oddity.group, oddity.pose))
    return Sample(files, pd.DataFrame(rows, columns=list(COLUMNS)))


def write_sample(root: Path, seed: int = SAMPLE_SEED) -> Path:
    """Draw the sample, write its files and then its manifest under ``root``, and return the path of the manifest.

    Every file is written atomically. Other files stay unchanged.
    """
    sample = draw_sample(seed)
    for path, content in {**sample.files, MANIFEST: manifest_bytes(sample.manifest)}.items():
        with atomic_write(root / path) as draft:
            draft.write_bytes(content)
    return root / MANIFEST


def manifest_bytes(manifest: pd.DataFrame) -> bytes:
    """Return the content of the manifest's CSV file, the same on every platform."""
    return manifest.to_csv(index=False, lineterminator="\n").encode()


def describe(path: str, character: Character, label: str, group: str, pose: str) -> dict[str, str]:
    """Return the manifest's row for one image of a character."""
    traits = {name: str(getattr(character, name)) for name in ("skin_tone", "hair", "age", "clothes", "background")}
    return {"path": path, "label": label, "group": group, **traits, "pose": pose}


def _encode(image: Image.Image, path: str) -> bytes:
    stream = BytesIO()
    if path.endswith(".png"):
        image.quantize(64).save(stream, "PNG", optimize=True)
    else:
        image.save(stream, "JPEG", quality=82, optimize=True)
    return stream.getvalue()
