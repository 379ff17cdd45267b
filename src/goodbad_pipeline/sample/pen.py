"""A pen that draws smooth, outlined shapes in its own coordinate system.

All shapes are polygons with integer corners on an enlarged canvas, so an image has the same bytes on every machine.
Reducing the canvas smooths the edges. No text is drawn, so no font is needed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from PIL import ImageDraw

from goodbad_pipeline.sample.characters import Colour

SIZE = 192  # side of the finished image in pixels
ENLARGED = 3  # the canvas is this many times larger than the finished image

Point = tuple[float, float]

_SMOOTH = 24
_WEIGHTS = [
    ((2 * t**2 - t - t**3) / 2, (2 - 5 * t**2 + 3 * t**3) / 2, (t + 4 * t**2 - 3 * t**3) / 2, (t**3 - t**2) / 2)
    for t in (step / 6 for step in range(6))
]
_CIRCLE = [(math.cos(math.tau * step / 36), math.sin(math.tau * step / 36)) for step in range(36)]


def shade(colour: Colour, factor: float) -> Colour:
    """Darken a colour (factor below 1) or lighten it (above 1)."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours; a share of 0 returns the first, a share of 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def smooth(points: Sequence[Point], closed: bool = True) -> list[Point]:
    """Return a smooth curve through points (Catmull-Rom spline, six steps between points)."""
    if closed:
        return _curve([points[-1], *points, *points[:2]])
    return [*_curve([points[0], *points, points[-1]]), points[-1]]


def _curve(points: Sequence[Point]) -> list[Point]:
    return [
        (p * a[0] + q * b[0] + r * c[0] + s * d[0], p * a[1] + q * b[1] + r * c[1] + s * d[1])
        for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False)
        for p, q, r, s in _WEIGHTS
    ]


@dataclass(frozen=True)
class Pen:
    """Draws on a canvas through an affine map: (x, y) becomes (a·x + b·y + c, d·x + e·y + f) in canvas pixels."""

    draw: ImageDraw.ImageDraw
    ink: Colour
    matrix: tuple[float, float, float, float, float, float] = (ENLARGED, 0, 0, 0, ENLARGED, 0)

    def at(self, x: float, y: float, degrees: float = 0, scale: float = 1, mirrored: bool = False) -> "Pen":
        """Return a pen with its origin at (x, y), turned clockwise, scaled and optionally mirrored horizontally."""
        a, b, c, d, e, f = self.matrix
        cos, sin = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
        side = -1 if mirrored else 1
        return replace(
            self,
            matrix=(
                side * (a * cos + b * sin),
                b * cos - a * sin,
                a * x + b * y + c,
                side * (d * cos + e * sin),
                e * cos - d * sin,
                d * x + e * y + f,
            ),
        )

    def fill(self, points: Iterable[Point], colour: Colour, line: float = 1.8) -> None:
        """Fill a polygon and outline it in ink; ``line`` is the width of the outline, 0 for none."""
        corners = self._map(points)
        self.draw.polygon(corners, fill=colour)
        if line:
            joint = "curve" if len(corners) < _SMOOTH else None  # a line through many corners has no visible gaps
            self.draw.line([*corners, *corners[:2]], fill=self.ink, width=self._width(line), joint=joint)

    def blob(self, x: float, y: float, size: tuple[float, float], colour: Colour, line: float = 1.8) -> None:
        """Fill and outline an ellipse with the half axes ``size`` around (x, y)."""
        width, height = size
        self.at(x, y).fill([(width * cos, height * sin) for cos, sin in _CIRCLE], colour, line)

    def ring(self, x: float, y: float, size: tuple[float, float], colour: Colour, width: float) -> None:
        """Draw an outlined elliptic ring with the half axes ``size`` around (x, y)."""
        points = [(x + size[0] * cos, y + size[1] * sin) for cos, sin in (*_CIRCLE, *_CIRCLE[:2])]
        self.stroke(points, colour, width)

    def stroke(self, points: Sequence[Point], colour: Colour, width: float, line: float = 1.6) -> None:
        """Draw a line with round ends, outlined in ink unless ``line`` is 0."""
        corners = self._map(points)
        if line:
            self._line(corners, self.ink, self._width(width + 2 * line))
        self._line(corners, colour, self._width(width))

    def _line(self, corners: list[tuple[int, int]], colour: Colour, width: int) -> None:
        self.draw.line(corners, fill=colour, width=width, joint="curve")
        for x, y in (corners[0], corners[-1]):
            half = width // 2
            self.draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)

    def _map(self, points: Iterable[Point]) -> list[tuple[int, int]]:
        a, b, c, d, e, f = self.matrix
        return [(round(a * x + b * y + c), round(d * x + e * y + f)) for x, y in points]

    def _width(self, width: float) -> int:
        a, _, _, d, _, _ = self.matrix
        return max(1, round(width * math.sqrt(a * a + d * d)))
