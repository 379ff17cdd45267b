"""Contact sheets (images in a grid, each with a caption), heat maps over images, and images with a masked centre."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from unicodedata import east_asian_width

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from goodbad_pipeline.evaluation.figures.style import DPI, FAINT, INK, WIDTH, elide, literal
from goodbad_pipeline.evaluation.predictions import FloatArray, PixelArray

BORDER = 1 / 8
"""Width of the border of a heat map, as a share of its side; a uniform heat map has 44 % of its mass there."""
CENTRE = 1 / 2
"""Side of the masked square, as a share of the image's side; the square covers a quarter of the image."""
_GAP = 0.12
_LINE = 0.17
_TITLE = 0.5
_LEGEND = 0.28
"""In inches: gap between cells, heights of a line of a caption, of the title and of a line of the legend."""
_LEGEND_COLUMNS = 4


def contact_sheet(
    pixels: PixelArray,
    captions: Sequence[str],
    columns: int,
    title: str,
    *,
    frames: Sequence[str] | None = None,
    legend: Mapping[str, str] | None = None,
) -> Figure:
    """Draw images in a grid of up to 10 columns, each with its caption below; the figure is 1000 pixels wide.

    ``pixels`` is 8-bit RGB (n, h, w, 3); n = 0 gives a sheet with the text "No images". A long line of a caption is
    wrapped into two lines, and shortened if two lines do not suffice. ``frames`` holds the colour of each image's
    frame. ``legend`` maps names to these colours. If two names have the same colour, the legend is left out.
    """
    if len(pixels) == 0:
        return _empty_sheet(title)
    cell = (WIDTH - _GAP) / columns - _GAP
    height = cell * pixels.shape[1] / pixels.shape[2]
    lines = [_wrapped(caption, max(3, int(cell / _character_width(caption)))) for caption in captions]
    row = height + _GAP + _LINE * max(len(caption) for caption in lines) + 0.08
    explained = legend if frames and legend and len(set(legend.values())) == len(legend) else {}
    header = _TITLE + _LEGEND * math.ceil(len(explained) / _LEGEND_COLUMNS)
    total = header + row * math.ceil(len(pixels) / columns)
    figure = Figure(figsize=(WIDTH, total), dpi=DPI)
    figure.text(0.5, 1 - 0.5 * _TITLE / total, _title(title), ha="center", va="center", fontsize=13, color=INK)
    if explained:
        handles = [
            Patch(facecolor="none", edgecolor=colour, linewidth=3, label=literal(elide(name, 24)))
            for name, colour in explained.items()
        ]
        place = (0.5, 1 - (_TITLE + header) / 2 / total)
        ncols = min(_LEGEND_COLUMNS, len(handles))
        figure.legend(handles=handles, loc="center", bbox_to_anchor=place, ncols=ncols, frameon=False, fontsize=10)
    axes = figure.add_axes((0, 0, 1, 1))  # in inches; axes per image would be slow
    axes.axis("off")
    for index, caption in enumerate(lines):
        left = _GAP + index % columns * (cell + _GAP)
        bottom = total - header - index // columns * row - height
        axes.imshow(pixels[index], extent=(left, left + cell, bottom, bottom + height), aspect="auto")
        if frames:
            axes.add_patch(Rectangle((left, bottom), cell, height, fill=False, edgecolor=frames[index], linewidth=3))
        position = (left + cell / 2) / WIDTH, (bottom - 0.05) / total
        figure.text(*position, literal("\n".join(caption)), ha="center", va="top", fontsize=9, color=INK)
    axes.set(xlim=(0, WIDTH), ylim=(0, total))
    return figure


def enlarge(maps: FloatArray, side: int) -> FloatArray:
    """Enlarge heat maps (n, h, w) to (n, side, side), bilinearly."""
    size = (side, side)
    enlarged = [Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BILINEAR) for one in maps]
    return np.array(enlarged, dtype=np.float32).reshape(-1, side, side)


def overlay(pixels: PixelArray, heat: FloatArray) -> PixelArray:
    """Draw heat maps (n, side, side) in [0, 1] over greyed 8-bit RGB images (n, side, side, 3)."""
    grey = pixels.mean(axis=3, keepdims=True).repeat(3, axis=3)
    colours = colormaps["inferno"](heat)[..., :3] * 255
    strength = 0.25 + 0.45 * heat[..., None]
    return np.clip(grey * (1 - strength) + colours * strength, 0, 255).astype(np.uint8)


def border_share(heat: FloatArray) -> FloatArray:
    """Return the share of each heat map's mass that lies on its border; NaN for a map without mass.

    ``heat`` (n, side, side) is at least 0.
    """
    width = max(1, round(heat.shape[1] * BORDER))
    total = heat.sum(axis=(1, 2), dtype=np.float64)
    inner = heat[:, width:-width, width:-width].sum(axis=(1, 2), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, 1 - inner / np.where(total > 0, total, 1), np.nan)


def mask_centre(pixels: PixelArray, colour: tuple[int, int, int]) -> PixelArray:
    """Return a copy of images (n, side, side, 3) with their centres filled with one colour."""
    side = pixels.shape[1]
    start = round(side * (1 - CENTRE) / 2)
    masked = pixels.copy()
    masked[:, start : side - start, start : side - start] = colour
    return masked


def _title(title: str) -> str:
    return literal(elide(title, 90))


def _character_width(caption: str) -> float:
    """Return the inches to reserve per character at 9 points: more if the caption has CJK characters or emoji."""
    return 0.13 if any(east_asian_width(one) in "WF" for one in caption) else 0.085


def _wrapped(caption: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in caption.split("\n"):
        parts = textwrap.wrap(line, width) or [""]
        if len(parts) > 2:
            middle = elide(line, 2 * width)
            parts = [middle[:width], middle[width:]]
        lines.extend(parts)
    return lines


def _empty_sheet(title: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 1.6), dpi=DPI)
    figure.text(0.5, 0.75, _title(title), ha="center", va="center", fontsize=13, color=INK)
    figure.text(0.5, 0.35, "No images", ha="center", va="center", fontsize=11, color=FAINT)
    return figure
