"""Draw the scene behind a character: sky, ground and objects, whose places differ in every image."""

from collections.abc import Callable
from random import Random

from goodbad_pipeline.sample.characters import Colour, vary
from goodbad_pipeline.sample.pen import SIZE, Pen, blend, shade, smooth


def draw_scenery(pen: Pen, background: str, rng: Random) -> None:
    """Cover the canvas with a scene. ``pen`` uses image coordinates, from 0 to `SIZE` in both directions."""
    *colours, draw_objects = _SCENES[background]
    top, bottom, ground = (vary(rng, colour, 14) for colour in colours)
    horizon = rng.uniform(104, 152)
    bands = 24
    for band in range(bands):
        upper, lower = band * horizon / bands, (SIZE if band == bands - 1 else (band + 1) * horizon / bands + 1)
        pen.fill([(0, upper), (SIZE, upper), (SIZE, lower), (0, lower)], blend(top, bottom, band / (bands - 1)), 0)
    draw_objects(pen, ground, horizon, rng)


def _draw_land(pen: Pen, colour: Colour, level: float, wave: float, rng: Random) -> None:
    crest = [(x, level + rng.uniform(-wave, wave)) for x in range(-32, SIZE + 64, 32)]
    pen.fill([*smooth(crest, closed=False), (SIZE + 32, SIZE), (-32, SIZE)], colour, 0)


def _draw_cloud(pen: Pen, colour: Colour, rng: Random) -> None:
    x, y, size = rng.uniform(0, SIZE), rng.uniform(12, 70), rng.uniform(8, 15)
    for shift, share in ((-1.3, 0.7), (0.0, 1.0), (1.3, 0.8)):
        pen.blob(x + shift * size, y, (size * 1.2, size * share), colour, 0)


def _draw_meadow(pen: Pen, ground: Colour, horizon: float, rng: Random) -> None:
    pen.blob(rng.uniform(16, 176), rng.uniform(18, 48), (15, 15), (252, 228, 130), 0)
    for _ in range(2):
        _draw_cloud(pen, (250, 250, 250), rng)
    _draw_land(pen, shade(ground, 0.86), horizon - 10, 22, rng)
    _draw_land(pen, ground, horizon + 14, 8, rng)
    petals = vary(rng, (240, 220, 230), 15)
    for _ in range(9):
        pen.blob(rng.uniform(0, SIZE), rng.uniform(horizon + 20, SIZE), (3, 3), petals, 0)


def _draw_night(pen: Pen, ground: Colour, horizon: float, rng: Random) -> None:
    for _ in range(22):
        pen.blob(rng.uniform(0, SIZE), rng.uniform(0, horizon), (1.3, 1.3), (236, 232, 206), 0)
    pen.blob(rng.uniform(20, 172), rng.uniform(24, 60), (17, 17), (238, 232, 200), 0)
    _draw_land(pen, shade(ground, 0.78), horizon - 12, 24, rng)
    _draw_land(pen, ground, horizon + 12, 8, rng)


def _draw_city(pen: Pen, ground: Colour, horizon: float, rng: Random) -> None:
    x = rng.uniform(-24, 0)
    while x < SIZE:
        width, top = rng.uniform(20, 40), horizon - rng.uniform(22, 96)
        wall = vary(rng, (150, 142, 166), 26)
        pen.fill([(x, top), (x + width, top), (x + width, horizon + 6), (x, horizon + 6)], wall, 0)
        for row in range(int((horizon - top) / 16)):
            for window in (x + width * 0.22, x + width * 0.6):
                y = top + 6 + row * 16
                pen.fill([(window, y), (window + 5, y), (window + 5, y + 8), (window, y + 8)], (250, 228, 160), 0)
        x += width + rng.uniform(1, 8)
    _draw_land(pen, ground, horizon + 4, 1, rng)


def _draw_desert(pen: Pen, ground: Colour, horizon: float, rng: Random) -> None:
    pen.blob(rng.uniform(16, 176), rng.uniform(20, 70), (19, 19), (250, 246, 220), 0)
    _draw_land(pen, shade(ground, 0.9), horizon - 8, 26, rng)
    _draw_land(pen, ground, horizon + 14, 10, rng)
    for _ in range(2):
        x, y = rng.uniform(6, 186), horizon + rng.uniform(4, 20)
        green = vary(rng, (110, 150, 96), 14)
        pen.stroke([(x, y), (x, y - 44)], green, 9, 0)
        pen.stroke([(x, y - 16), (x + 13, y - 18), (x + 13, y - 32)], green, 6, 0)


def _draw_snow(pen: Pen, ground: Colour, horizon: float, rng: Random) -> None:
    _draw_land(pen, shade(ground, 0.92), horizon - 10, 20, rng)
    for _ in range(5):
        x, base, size = rng.uniform(0, SIZE), horizon + rng.uniform(0, 12), rng.uniform(12, 20)
        for tier in range(3):
            y = base - tier * size * 0.8
            pen.fill([(x - size, y), (x + size, y), (x, y - size * 1.6)], vary(rng, (98, 140, 128), 12), 0)
    _draw_land(pen, ground, horizon + 14, 8, rng)
    for _ in range(26):
        pen.blob(rng.uniform(0, SIZE), rng.uniform(0, SIZE), (1.8, 1.8), (252, 252, 255), 0)


def _draw_sea(pen: Pen, ground: Colour, horizon: float, rng: Random) -> None:
    for _ in range(3):
        _draw_cloud(pen, (250, 250, 250), rng)
    water, level = vary(rng, (70, 146, 190), 14), horizon - rng.uniform(20, 46)
    pen.fill([(0, level), (SIZE, level), (SIZE, SIZE), (0, SIZE)], water, 0)
    for _ in range(9):
        x, y = rng.uniform(0, SIZE), rng.uniform(level + 6, horizon)
        pen.stroke([(x - 9, y), (x - 3, y - 3), (x + 3, y), (x + 9, y - 3)], shade(water, 1.25), 2, 0)
    sail, x = vary(rng, (244, 240, 230), 10), rng.uniform(10, 182)
    pen.fill([(x, level - 32), (x + 18, level - 4), (x, level - 4)], sail, 0)
    pen.fill([(x - 14, level - 2), (x + 22, level - 2), (x + 14, level + 7), (x - 8, level + 7)], (136, 92, 66), 0)
    _draw_land(pen, ground, horizon + 10, 7, rng)


_SCENES: dict[str, tuple[Colour, Colour, Colour, Callable[[Pen, Colour, float, Random], None]]] = {
    # top of the sky, bottom of the sky, ground, objects
    "meadow": ((150, 204, 236), (224, 240, 240), (132, 186, 96), _draw_meadow),
    "night": ((38, 44, 88), (92, 88, 142), (62, 84, 92), _draw_night),
    "city": ((196, 176, 204), (244, 212, 188), (142, 138, 140), _draw_city),
    "desert": ((242, 196, 142), (252, 232, 190), (222, 178, 116), _draw_desert),
    "snow": ((182, 204, 222), (228, 236, 244), (240, 244, 250), _draw_snow),
    "sea": ((120, 192, 226), (206, 234, 240), (236, 214, 164), _draw_sea),
}
