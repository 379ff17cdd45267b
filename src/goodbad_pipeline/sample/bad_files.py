"""Draw the bad files of the sample, one of each kind found in real folders, to show how a run handles them."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import ExifTags, Image, ImageEnhance

from goodbad_pipeline.sample.characters import CHARACTERS_PER_LABEL, LABELS, Character, design_characters, design_guest
from goodbad_pipeline.sample.drawing import POSES, draw_character

_FIRST_GUEST = CHARACTERS_PER_LABEL * len(LABELS)
_TURN_CLOCKWISE = 6  # EXIF orientation


@dataclass(frozen=True)
class Oddity:
    """One odd file and its row in the manifest."""

    path: str
    content: bytes
    character: Character
    label: str
    group: str
    pose: str


def draw_oddities(files: Mapping[str, bytes], seed: int) -> list[Oddity]:
    """Return the odd files of the sample, two of which are duplicates of images in ``files``.

    The odd files are a truncated JPEG, an empty file, a text file named .jpg, a rotated JPEG with EXIF orientation, an
    exact duplicate and a near-duplicate, each with its own group name, and one image stored twice, under both labels.
    """
    guests = [design_guest(seed, _FIRST_GUEST + index) for index in range(3)]
    rotated, truncated, ambiguous = guests
    upright, whole, twice = (draw_character(guest, POSES[0], seed) for guest in guests)
    return [
        _oddity("cut_short", _jpeg(whole)[:3000], truncated, truncated.label),
        _oddity("empty", b"", truncated, truncated.label),
        _oddity("note", b"This is a note, not a picture.\n", truncated, truncated.label),
        _oddity("sideways", _rotate(upright), rotated, rotated.label),
        *_duplicate(files, design_characters(seed)),
        *(_oddity(f"twice_{index}", _jpeg(twice), ambiguous, label) for index, label in enumerate(LABELS)),
    ]


def _oddity(stem: str, content: bytes, character: Character, label: str) -> Oddity:
    return Oddity(f"images/odd/{stem}.jpg", content, character, label, character.group, POSES[0].name)


def _jpeg(image: Image.Image, quality: int = 84) -> bytes:
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def _rotate(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _TURN_CLOCKWISE
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
