"""The sample dataset of the project: images of good and bad cartoon characters, and a few problem files.

The problem files are damaged, rotated or duplicate, like files in real folders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import ExifTags, Image, ImageEnhance

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.sample.characters import LABELS, Character, design_characters, design_guest
from goodbad_pipeline.sample.drawing import POSES, draw_character

SAMPLE_SEED = 15
MANIFEST = "labels.csv"
TRAITS = ("skin_tone", "hair", "age", "clothes", "background")
COLUMNS = ("path", "label", "group", *TRAITS, "pose")
_TURN_CLOCKWISE = 6  # EXIF orientation


@dataclass(frozen=True)
class Sample:
    """A sample in memory."""

    files: Mapping[str, bytes]  # content by path, relative to the folder of the manifest
    manifest: pd.DataFrame  # one row per image with the columns `COLUMNS`, all text


@dataclass(frozen=True)
class _File:
    """One file of the sample, and the values of its row in the manifest."""

    path: str
    content: bytes
    character: Character
    pose: str
    group: str

    def row(self) -> dict[str, str]:
        traits = {name: getattr(self.character, name) for name in TRAITS}
        return {"path": self.path, "label": self.character.label, "group": self.group, **traits, "pose": self.pose}


def draw_sample(seed: int = SAMPLE_SEED) -> Sample:
    """Draw the sample: sixty characters in eight poses each, and the problem files.

    The same seed gives the same bytes with the same version of Pillow.
    """
    cast = design_characters(seed)
    files = [_draw_file(character, index, seed) for character in cast for index in range(len(POSES))]
    files += _draw_problem_files(files, len(cast), seed)
    manifest = pd.DataFrame([file.row() for file in files], columns=list(COLUMNS))
    return Sample({file.path: file.content for file in files}, manifest)


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


def _draw_file(character: Character, index: int, seed: int) -> _File:
    image = draw_character(character, POSES[index], seed)
    if index == character.number % len(POSES):  # one PNG per character
        suffix, content = "png", _encode(image.quantize(64), "PNG", optimize=True)
    else:
        suffix, content = "jpg", _encode(image, "JPEG", quality=82, optimize=True)
    path = f"images/{character.group}/pose_{index}.{suffix}"
    return _File(path, content, character, POSES[index].name, character.group)


def _draw_problem_files(files: list[_File], characters: int, seed: int) -> list[_File]:
    """Return damaged files, a rotated JPEG with EXIF orientation, and copies under a second group or label."""
    rotated, truncated, ambiguous = (design_guest(seed, characters + index) for index in range(3))
    upright, whole, twice = (draw_character(guest, POSES[0], seed) for guest in (rotated, truncated, ambiguous))
    stored = _encode(twice, "JPEG", quality=84, optimize=True)
    copied, edited = files[3 * len(POSES) + 1], files[12 * len(POSES) + 2]
    return [
        _bad_file("cut_short", _encode(whole, "JPEG", quality=84, optimize=True)[:3000], truncated),
        _bad_file("empty", b"", truncated),
        _bad_file("note", b"This is a note, not a picture.\n", truncated),
        _bad_file("sideways", _rotate(upright), rotated),
        replace(copied, path="images/odd/copy.jpg", group="copy"),
        replace(edited, path="images/odd/edited.jpg", group="edited", content=_brighten_and_shrink(edited.content)),
        *(_bad_file(f"twice_{index}", stored, replace(ambiguous, label=label)) for index, label in enumerate(LABELS)),
    ]


def _bad_file(stem: str, content: bytes, character: Character) -> _File:
    return _File(f"images/odd/{stem}.jpg", content, character, POSES[0].name, character.group)


def _rotate(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _TURN_CLOCKWISE
    return _encode(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=84, exif=exif)


def _brighten_and_shrink(content: bytes) -> bytes:
    image = Image.open(BytesIO(content)).convert("RGB")
    smaller = image.resize((160, 160), Image.Resampling.LANCZOS)
    return _encode(ImageEnhance.Brightness(smaller).enhance(1.06), "JPEG", quality=75, optimize=True)


def _encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()
