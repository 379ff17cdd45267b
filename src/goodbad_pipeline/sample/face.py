"""Draw the head of a character: its hair, and a face whose parts are friendly or menacing."""

from collections.abc import Callable

from goodbad_pipeline.sample.characters import Character, Colour
from goodbad_pipeline.sample.pen import Pen, Point, blend, shade, smooth

_WHITE: Colour = (250, 248, 244)


def draw_head(pen: Pen, character: Character, openness: float, turn: float) -> None:
    """Draw a head without headgear. ``pen`` has its origin at the centre of the head.

    ``openness`` (0–1) opens the mouth; ``turn`` (-1 to 1) turns the face to the side.
    """
    if character.hair in _BEHIND:
        _BEHIND[character.hair](pen, character)
    _draw_ears(pen, character)
    pen.blob(0, 0, (character.head_width, character.head_height), character.skin_colour)
    if character.hair in _FRONT:
        _FRONT[character.hair](pen, character)
    face = pen.at(turn * 5, 5)
    _draw_cheeks(face, character)
    _draw_mask(face, character)
    _draw_eyes(face, character, turn)
    _draw_brows(face, character)
    _draw_mouth(face, character, openness)
    if character.age == "elder":
        _draw_wrinkles(face)


def _draw_ears(pen: Pen, character: Character) -> None:
    width = character.head_width
    for mirrored in (False, True):
        side = pen.at(0, 0, 0, 1, mirrored)
        if character.ears == "round":
            side.blob(width, 2, (8, 10), shade(character.skin_colour, 0.94))
        if character.ears == "pointed":
            side.fill([(width - 5, -6), (width + 17, -14), (width - 4, 13)], shade(character.skin_colour, 0.94))


def _draw_eyes(pen: Pen, character: Character, turn: float) -> None:
    for mirrored in (False, True):
        eye = pen.at(-16 if mirrored else 16, -5, 0, 1, mirrored)
        toward = (-turn if mirrored else turn) * 2.5
        if character.cues.eyes > 0:
            eye.blob(0, 0, (9.5, 11.5), _WHITE)
            eye.blob(toward, 1, (5.6, 7.2), eye.ink, 0)
            eye.blob(toward + 1.8, -2.6, (2.4, 2.6), _WHITE, 0)
        else:
            eye.fill(smooth([(-11, 4), (-6, -1), (11, -7), (10, 4), (2, 8), (-7, 7)]), _WHITE)
            eye.blob(toward - 1, 2, (3.2, 4.4), eye.ink, 0)
            eye.stroke([(-12, 2), (12, -8)], eye.ink, 3.2, 0)


def _draw_brows(pen: Pen, character: Character) -> None:
    colour = shade(character.hair_colour, 0.62)
    for mirrored in (False, True):
        brow = pen.at(-16 if mirrored else 16, -20, 0, 1, mirrored)
        if character.cues.brows > 0:
            brow.stroke(smooth([(-9, 1), (0, -5), (9, -1)], closed=False), colour, 3.2, 0)
        else:
            brow.fill([(-15, 9), (-13, 3), (11, -10), (13, -2)], colour, 1.2)


def _draw_mouth(pen: Pen, character: Character, openness: float) -> None:
    drop = 4 + 9 * openness
    dark = blend(pen.ink, (140, 50, 56), 0.55)
    if character.cues.mouth > 0:
        lips = [
            *smooth([(-17, 13), (0, 19), (17, 13)], closed=False),
            *smooth([(17, 13), (0, 20 + drop), (-17, 13)], closed=False),
        ]
        pen.fill(lips, dark, 2.2)
    else:
        upper = smooth([(-18, 25), (-8, 16), (8, 16), (18, 25)], closed=False)
        lower = smooth([(18, 25), (8, 19 + drop * 0.8), (-8, 19 + drop * 0.8), (-18, 25)], closed=False)
        pen.fill([*upper, *lower], dark, 2.2)
    if character.cues.cheeks < 0:
        top = 17 if character.cues.mouth > 0 else 19
        for side in (-1, 1):  # fangs
            pen.fill([(side * 5, top), (side * 13, top - 1), (side * 9, top + 13)], _WHITE, 1.2)


def _draw_cheeks(pen: Pen, character: Character) -> None:
    if character.cues.cheeks > 0:
        blush = blend(character.skin_colour, (226, 92, 98), 0.45)
        for side in (-1, 1):
            pen.blob(side * 26, 10, (7, 5), blush, 0)


def _draw_mask(pen: Pen, character: Character) -> None:
    if character.cues.mask < 0:
        width, colour = character.head_width * 0.97, shade(character.accents[3], 0.7)
        top: list[Point] = [(-width, -14), (0, -17), (width, -14)]
        bottom: list[Point] = [(width * 0.86, 8), (14, 10), (0, 2), (-14, 10), (-width * 0.86, 8)]
        pen.fill(smooth([*top, *bottom]), colour)


def _draw_wrinkles(pen: Pen) -> None:
    for side in (-1, 1):
        pen.stroke([(side * 29, -3), (side * 33, -6)], pen.ink, 1.2, 0)
        pen.stroke([(side * 29, 0), (side * 34, 0)], pen.ink, 1.2, 0)


def _draw_long_hair(pen: Pen, character: Character) -> None:
    w, h = character.head_width, character.head_height
    top = [(-0.9, -0.6), (0, -1.16), (0.9, -0.6)]
    locks = [(1.2, 0.5), (0.95, 1.2), (0, 0.9), (-0.95, 1.2), (-1.2, 0.5)]
    pen.fill(smooth([(w * x, h * y) for x, y in [*top, *locks]]), character.hair_colour)


def _draw_curls_behind(pen: Pen, character: Character) -> None:
    w, h = character.head_width, character.head_height
    for x, y in ((-1, -0.2), (1, -0.2), (-0.85, -0.66), (0.85, -0.66)):
        pen.blob(x * w, y * h, (14, 14), character.hair_colour)


def _draw_fringe(pen: Pen, character: Character) -> None:
    w, h = character.head_width, character.head_height
    fringe = [(-0.93, -0.36), (-0.7, -0.76), (0, -1.05), (0.7, -0.76), (0.93, -0.36), (0.4, -0.62), (-0.3, -0.56)]
    pen.fill(smooth([(w * x, h * y) for x, y in fringe]), character.hair_colour)


def _draw_curls(pen: Pen, character: Character) -> None:
    w, h = character.head_width, character.head_height
    for x, y in ((-0.52, -0.82), (0.52, -0.82), (0, -0.95)):
        pen.blob(x * w, y * h, (14, 12), character.hair_colour)


def _draw_tuft(pen: Pen, character: Character) -> None:
    h = character.head_height
    tuft = [(-14, -h * 0.86), (-4, -h * 1.3), (8, -h * 1.28), (2, -h * 1.08), (16, -h * 0.9), (0, -h * 0.72)]
    pen.fill(smooth(tuft), character.hair_colour)


def _draw_spikes(pen: Pen, character: Character) -> None:
    w, h = character.head_width, character.head_height
    spikes = [(-1.08, -0.86), (-0.62, -0.84), (-0.4, -1.28), (-0.1, -0.98), (0.22, -1.34), (0.42, -0.92), (0.9, -1.06)]
    hairline = [(0.76, -0.66), (1.0, -0.3), (0.4, -0.62), (-0.4, -0.62)]
    pen.fill([(x * w, y * h) for x, y in [(-1.0, -0.3), *spikes, *hairline]], character.hair_colour)


def _draw_mohawk(pen: Pen, character: Character) -> None:
    h = character.head_height
    crest = [(-11, -h * 0.6), (-13, -h * 1.2), (0, -h * 1.36), (13, -h * 1.2), (11, -h * 0.6), (0, -h * 0.52)]
    pen.fill(smooth(crest), character.hair_colour)


_HairPainter = Callable[[Pen, Character], None]
_BEHIND: dict[str, _HairPainter] = {"long": _draw_long_hair, "curls": _draw_curls_behind}
_FRONT: dict[str, _HairPainter] = {
    "tuft": _draw_tuft,
    "long": _draw_fringe,
    "curls": _draw_curls,
    "spikes": _draw_spikes,
    "mohawk": _draw_mohawk,
}
