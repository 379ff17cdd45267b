"""The bad files of the sample: what real folders hold, one of each, so that a run shows what becomes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageEnhance

from goodbad_pipeline.sample.characters import (
    CHARACTERS_PER_LABEL,
    LABELS,
    Character,
    design_characters,
    design_guest,
)
from goodbad_pipeline.sample.drawing import POSES, Pose, draw_character

ORIENTATION_TAG = 0x0112
TURN_CLOCKWISE = 6

_FIRST_GUEST = CHARACTERS_PER_LABEL * len(LABELS)


@dataclass(frozen=True)
class Oddity:
    """One odd file and what the manifest says of it."""

    path: str
    content: bytes
    character: Character
    label: str
    group: str
    pose: str


def draw_oddities(files: Mapping[str, bytes], seed: int) -> list[Oddity]:
    """Make the odd files.

    Args:
        files: The proper images by path; the two duplicates are made of two of them.
        seed: Seed of the sample.

    Returns:
        A JPEG cut short, an empty file, a text named .jpg, a JPEG lying on its side whose EXIF orientation says so, an
        exact and a near duplicate, each under a group name of its own, and one image twice, under both labels.
    """
    sideways, torn, both = (design_guest(seed, _FIRST_GUEST + index) for index in range(3))
    cast, standing = design_characters(seed), POSES[0]
    return [
        _name("cut_short", _jpeg(_draw(torn, seed))[:3000], torn, standing),
        _name("empty", b"", torn, standing),
        _name("note", b"This is a note, not a picture.\n", torn, standing),
        _name("sideways", _lay_on_side(_draw(sideways, seed)), sideways, standing),
        *_duplicate(files, cast),
        *_label_twice(both, _jpeg(_draw(both, seed)), standing),
    ]


def _draw(character: Character, seed: int) -> Image.Image:
    return draw_character(character, POSES[0], seed)


def _name(stem: str, content: bytes, character: Character, pose: Pose) -> Oddity:
    return Oddity(f"images/odd/{stem}.jpg", content, character, character.label, character.group, pose.name)


def _jpeg(image: Image.Image, quality: int = 84) -> bytes:
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def _lay_on_side(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = TURN_CLOCKWISE
    stream = BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(stream, "JPEG", quality=84, exif=exif)
    return stream.getvalue()


def _duplicate(files: Mapping[str, bytes], cast: list[Character]) -> list[Oddity]:
    copied, altered = cast[3], cast[12]
    exact = files[f"images/{copied.group}/pose_1.jpg"]
    near = _brighten_and_shrink(files[f"images/{altered.group}/pose_2.jpg"])
    return [
        Oddity("images/odd/copy.jpg", exact, copied, copied.label, "copy", POSES[1].name),
        Oddity("images/odd/edited.jpg", near, altered, altered.label, "edited", POSES[2].name),
    ]


def _brighten_and_shrink(content: bytes) -> bytes:
    image = Image.open(BytesIO(content)).convert("RGB")
    smaller = image.resize((160, 160), Image.Resampling.LANCZOS)
    return _jpeg(ImageEnhance.Brightness(smaller).enhance(1.06), quality=75)


def _label_twice(character: Character, content: bytes, pose: Pose) -> list[Oddity]:
    return [
        Oddity(f"images/odd/twice_{place}.jpg", content, character, label, character.group, pose.name)
        for place, label in enumerate(LABELS)
    ]
