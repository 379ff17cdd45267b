"""Contact sheets: images with a caption each, in a grid."""

import math
import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.arrays import PixelArray
from goodbad_pipeline.evaluation.figures.style import DPI, FAINT, INK, WIDTH, elide, literal

_GAP = 0.12
_LINE = 0.17
_TITLE = 0.5
_CHARACTER = 0.085
"""Inches: between cells, of a caption's line, of the title's strip, of a wide character at 9 points."""


def contact_sheet(
    pixels: PixelArray,
    captions: Sequence[str],
    columns: int,
    title: str,
    *,
    frames: Sequence[str] | None = None,
) -> Figure:
    """Lay images out in rows, each with its caption below; 1000 pixels wide, as high as it takes.

    Args:
        pixels: (n, h, w, 3) 8-bit RGB; n = 0 gives a sheet that says so.
        captions: n captions, lines parted by newlines; a line too long for its image is wrapped, and shortened in the
            middle where two lines do not hold it.
        columns: images a row, at least 1. Up to 10 read well.
        title: one line above the sheet.
        frames: n colours to frame the images in, such as `class_colours` gives; no frames where left out.

    Raises:
        InputError: for pixels of another shape, or counts that do not match.
    """
    _check(pixels, captions, columns, frames)
    if len(pixels) == 0:
        return _empty_sheet(title)
    cell = (WIDTH - _GAP) / columns - _GAP
    height = cell * pixels.shape[1] / pixels.shape[2]
    lines = [_wrapped(caption, max(3, int(cell / _CHARACTER))) for caption in captions]
    row = height + _GAP + _LINE * max(len(caption) for caption in lines) + 0.08
    total = _TITLE + row * math.ceil(len(pixels) / columns)
    figure = Figure(figsize=(WIDTH, total), dpi=DPI)
    figure.text(0.5, 1 - 0.5 * _TITLE / total, _title(title), ha="center", va="center", fontsize=13, color=INK)
    axes = figure.add_axes((0, 0, 1, 1))  # in inches; axes for each image would take most of the time
    axes.axis("off")
    for index, caption in enumerate(lines):
        left = _GAP + index % columns * (cell + _GAP)
        bottom = total - _TITLE - index // columns * row - height
        axes.imshow(pixels[index], extent=(left, left + cell, bottom, bottom + height), aspect="auto")
        if frames:
            axes.add_patch(Rectangle((left, bottom), cell, height, fill=False, edgecolor=frames[index], linewidth=3))
        place = (left + cell / 2) / WIDTH, (bottom - 0.05) / total
        figure.text(*place, literal("\n".join(caption)), ha="center", va="top", fontsize=9, color=INK)
    axes.set(xlim=(0, WIDTH), ylim=(0, total))
    return figure


def _title(title: str) -> str:
    return literal(elide(title, 90))


def _check(pixels: PixelArray, captions: Sequence[str], columns: int, frames: Sequence[str] | None) -> None:
    if pixels.ndim != 4 or pixels.shape[3] != 3 or (len(pixels) and 0 in pixels.shape):
        raise InputError(f"pixels: shape {pixels.shape}; give (n, h, w, 3)")
    if len(captions) != len(pixels) or (frames is not None and len(frames) != len(pixels)):
        raise InputError(
            f"captions: {len(captions)} for {len(pixels)} images; give one each, and one frame each if any"
        )
    if columns < 1:
        raise InputError(f"columns: {columns}; give at least 1")


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
