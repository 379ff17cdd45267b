"""Draw what a character wears and carries. Each attribute has friendly and menacing shapes, in neutral colours."""

import math

from goodbad_pipeline.sample.characters import Character, Colour
from goodbad_pipeline.sample.pen import Pen, Point, shade, smooth


def draw_back(pen: Pen, character: Character, flap: float) -> None:
    """Draw wings or a cape behind the body. ``pen`` has its origin at the feet; ``flap`` raises wings, in degrees.

    Friendly shapes are round, menacing shapes are jagged.
    """
    colour = character.accents[0]
    shoulder = -character.body_height * 1.7 - 14
    if character.cues.back == 0:
        return
    if character.variant:
        for mirrored in (False, True):
            wing = pen.at(0, shoulder + 12, 0, 1, mirrored).at(12, 0, -flap)
            (_draw_feather_wing if character.cues.back > 0 else _draw_bat_wing)(wing, colour)
    else:
        _draw_cape(pen, colour, shoulder, character.cues.back > 0)


def _draw_feather_wing(pen: Pen, colour: Colour) -> None:
    for index, (x, y) in enumerate(((44, -22), (43, -5), (36, 11), (25, 22))):
        feather = pen.at(x * 0.62, y * 0.62, math.degrees(math.atan2(y, x)))
        feather.blob(0, 0, (27 - 2 * index, 11), shade(colour, 1 + 0.05 * index), 1.6)


def _draw_bat_wing(pen: Pen, colour: Colour) -> None:
    upper_edge: list[Point] = [(0, 0), (16, -27), (30, -46), (44, -34), (64, -30)]
    lower_edge: list[Point] = [(52, -20), (58, 2), (42, -2), (38, 22), (24, 10), (4, 22)]
    pen.fill([*upper_edge, *lower_edge], colour)
    for tip in ((64, -30), (58, 2), (38, 22)):
        pen.stroke([(20, -24), tip], pen.ink, 1.4, 0)


def _draw_cape(pen: Pen, colour: Colour, shoulder: float, friendly: bool) -> None:
    if friendly:
        hem: list[Point] = [(-46, -46), (-58, -10), (-36, -4), (-12, -9), (14, -4), (38, -9), (58, -14), (46, -48)]
        pen.fill(smooth([(-17, shoulder), *hem, (17, shoulder)]), colour)
        return
    spikes: list[Point] = [(-56 + 14 * step, -2 if step % 2 == 0 else -28) for step in range(9)]
    pen.fill([(-16, shoulder), (-44, -52), *spikes, (44, -52), (16, shoulder)], colour)
    for side in (-1, 1):
        collar = [(4, 14), (30, 12), (58, -40), (34, -16)]
        pen.fill([(side * x, shoulder + y) for x, y in collar], shade(colour, 0.86))


def draw_headgear(pen: Pen, character: Character) -> None:
    """Draw a halo or horns. ``pen`` has its origin at the centre of the head."""
    top, colour = -character.head_height, character.accents[1]
    if character.cues.headgear > 0:
        pen.ring(0, top - 13, (28, 8), colour, 5.5)
    if character.cues.headgear < 0:
        for mirrored in (False, True):
            horn = pen.at(0, top * 0.78, 0, 1, mirrored).at(character.head_width * 0.52, 0)
            curve = smooth([(0, 0), (14, -6), (20, -18), (17, -34)], closed=False)
            back = smooth([(17, -34), (8, -22), (-2, -16), (-14, -8)], closed=False)
            horn.fill([*curve, *back], colour)


def draw_held(pen: Pen, character: Character) -> None:
    """Draw a shield, a flower, a spiked club or a trident. ``pen`` has its origin at the hand."""
    colour = character.accents[2]
    if character.cues.hand > 0:
        (_draw_shield if character.variant else _draw_flower)(pen, colour)
    if character.cues.hand < 0:
        (_draw_club if character.variant else _draw_trident)(pen, colour)


def _draw_shield(pen: Pen, colour: Colour) -> None:
    pen.fill(smooth([(-20, -22), (0, -25), (20, -22), (19, 4), (0, 26), (-19, 4)]), colour)
    pen.fill(star(0, -2, 12, 5, 5), shade(colour, 1.35), 1.4)


def _draw_flower(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 24), (0, -24)], (104, 140, 92), 3.5)
    for step in range(6):
        angle = math.tau * step / 6
        pen.blob(11 * math.cos(angle), -32 + 11 * math.sin(angle), (8, 8), colour)
    pen.blob(0, -32, (7, 7), shade(colour, 1.35))


def _draw_club(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 20), (0, -18)], (128, 98, 78), 5)
    pen.fill(star(0, -30, 23, 11, 9), colour)


def _draw_trident(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 32), (0, -18)], (128, 98, 78), 4)
    left: list[Point] = [(-3, -12), (-17, -16), (-20, -46), (-11, -27), (-4, -25)]
    right: list[Point] = [(4, -25), (11, -27), (20, -46), (17, -16), (3, -12)]
    pen.fill([*left, (0, -54), *right], colour)


def draw_emblem(pen: Pen, character: Character) -> None:
    """Draw a heart, a star, a bolt or a fanged skull. ``pen`` has its origin at the middle of the chest."""
    colour = character.accents[3]
    if character.cues.emblem > 0:
        if character.variant:
            pen.fill(star(0, 0, 14, 6.5, 5), colour, 1.5)
        else:
            pen.fill(smooth([(0, 12), (-13, -1), (-9, -11), (0, -6), (9, -11), (13, -1)]), colour, 1.5)
    if character.cues.emblem < 0:
        if character.variant:
            pen.fill([(4, -15), (-11, 3), (-1, 2), (-5, 15), (11, -4), (1, -3)], colour, 1.5)
        else:
            _draw_skull(pen, colour)


def _draw_skull(pen: Pen, colour: Colour) -> None:
    pen.fill([(-7, 3), (7, 3), (6, 13), (3, 9), (0, 13), (-3, 9), (-6, 13)], colour, 1.5)
    pen.blob(0, -3, (12, 10), colour, 1.5)
    for side in (-1, 1):
        pen.blob(side * 5, -3, (3.2, 3.6), pen.ink, 0)


def star(x: float, y: float, outer: float, inner: float, points: int) -> list[Point]:
    """Return the corners of a star around (x, y) with its first point at the top; ``outer`` and ``inner`` are radii."""
    corners = []
    for step in range(2 * points):
        radius, angle = (outer if step % 2 == 0 else inner), math.pi * step / points - math.pi / 2
        corners.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    return corners
