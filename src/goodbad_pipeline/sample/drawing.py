"""Draw one image: a character in one of eight poses, in front of its background."""

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from goodbad_pipeline.sample.attributes import draw_back, draw_emblem, draw_headgear, draw_held
from goodbad_pipeline.sample.characters import Character
from goodbad_pipeline.sample.face import draw_head
from goodbad_pipeline.sample.pen import ENLARGED, SIZE, Pen, shade, smooth
from goodbad_pipeline.sample.scenery import draw_scenery

_HIP = -16.0  # height of the hips relative to the feet


@dataclass(frozen=True)
class Pose:
    """A pose. Angles are in degrees; an arm hangs down at 0 and points straight up at 180."""

    name: str
    holding_arm: float
    free_arm: float
    lean: float
    tilt: float
    stride: float
    openness: float
    mirrored: bool


POSES = (
    Pose("standing", 65, 25, 0, 0, 0, 0.2, False),
    Pose("waving", 55, 150, 3, 7, 0, 0.7, True),
    Pose("pointing", 85, 95, -4, -5, 4, 0.4, False),
    Pose("cheering", 112, 145, 0, 0, 7, 1.0, True),
    Pose("leaning", 75, 40, 11, -9, 3, 0.3, True),
    Pose("walking", 90, 55, -7, 5, 9, 0.5, False),
    Pose("jumping", 105, 120, 6, -7, 10, 0.9, True),
    Pose("resting", 45, 15, -9, 10, 2, 0.0, False),
)


@dataclass(frozen=True)
class _Stance:
    """Heights of chest and head relative to the feet, and angle of the body in degrees (0 if upright)."""

    chest: float
    head: float
    bend: float


def draw_character(character: Character, pose: Pose, seed: int) -> Image.Image:
    """Draw one RGB image of `SIZE` by `SIZE` pixels. Position, angles and scenery vary with character and pose."""
    rng = Random(f"picture {seed} {character.number} {pose.name}")
    canvas = Image.new("RGB", (SIZE * ENLARGED, SIZE * ENLARGED))
    page = Pen(ImageDraw.Draw(canvas), character.ink)
    draw_scenery(page, character.background, rng)
    _draw_figure(_place_feet(page, pose, rng), character, pose, rng)
    return canvas.reduce(ENLARGED)


def _place_feet(page: Pen, pose: Pose, rng: Random) -> Pen:
    scale = rng.uniform(0.84, 1.06)
    x, y = SIZE / 2 + rng.uniform(-20, 20), 181 - (1.06 - scale) * rng.uniform(10, 60)
    page.blob(x, y + 1, (40 * scale, 6 * scale), (84, 80, 88), 0)
    hop = 9 if pose.name == "jumping" and scale < 1 else 0
    return page.at(x, y - hop, pose.lean + rng.uniform(-3, 3), scale, pose.mirrored)


def _draw_figure(feet: Pen, character: Character, pose: Pose, rng: Random) -> None:
    stance = _take_stance(character)
    draw_back(feet, character, rng.uniform(-8, 14))
    _draw_legs(feet, character, pose.stride)
    _draw_arm(feet, character, stance, -(pose.free_arm + rng.uniform(-12, 12)))
    _draw_body(feet, character, stance)
    head = feet.at(stance.bend, stance.head, stance.bend * 0.4 + pose.tilt + rng.uniform(-4, 4))
    draw_head(head, character, pose.openness, rng.uniform(-1, 1))
    draw_headgear(head, character)
    hand = _draw_arm(feet, character, stance, pose.holding_arm + rng.uniform(-12, 12))
    draw_held(hand, character)


def _take_stance(character: Character) -> _Stance:
    chest, shoulders, neck, bend = (1.0, 1.8, 0.68, 0) if character.cues.posture > 0 else (0.86, 1.36, 0.42, -17)
    head = _HIP - character.body_height * shoulders - character.head_height * neck
    return _Stance(_HIP - character.body_height * chest, head, bend)


def _draw_legs(feet: Pen, character: Character, stride: float) -> None:
    for side in (-1, 1):
        x = side * (11 + stride)
        feet.stroke([(side * 11, _HIP - 6), (x, -5)], character.trouser_colour, 11)
        feet.blob(x + 3, -3, (11, 6), shade(character.trouser_colour, 0.7))


def _draw_body(feet: Pen, character: Character, stance: _Stance) -> None:
    width, height = character.body_width, character.body_height
    body = feet.at(stance.bend * 0.2, stance.chest, stance.bend)
    if stance.bend:
        body.blob(width * 0.5, -height * 0.42, (width * 0.78, height * 0.74), shade(character.clothes_colour, 0.9))
    corners = [(0, -1), (0.72, -0.62), (1, 0.4), (0, 1), (-1, 0.4), (-0.72, -0.62)]
    body.fill(smooth([(width * x, height * y) for x, y in corners]), character.clothes_colour)
    draw_emblem(body.at(0, height * 0.34), character)


def _draw_arm(feet: Pen, character: Character, stance: _Stance, angle: float) -> Pen:
    """Draw an arm, on the right side if ``angle`` is positive; return an upright pen with its origin at the hand."""
    side = 1 if angle > 0 else -1
    x, y = side * character.body_width * 0.76 + stance.bend * 0.4, stance.chest - character.body_height * 0.34
    arm = feet.at(x, y, -angle)
    arm.stroke(smooth([(0, 0), (side * 4, 17), (0, 33)], closed=False), shade(character.clothes_colour, 0.92), 10)
    arm.blob(0, 36, (8, 8), character.skin_colour)
    return arm.at(0, 36, angle * 0.8 + 6)
