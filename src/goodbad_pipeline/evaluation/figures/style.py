"""Common style of all figures: size, colours, fonts, shortened names."""

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure  # exported as figures.Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

logger = logging.getLogger(__name__)

WIDTH = 10.0
DPI = 100
"""Width in inches, and dots per inch: every figure is 1000 pixels wide."""

INK = "#222222"
FAINT = "#767676"
GRID = "#E3E3E3"

_CLASSES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#999933",
    "#332288",
    "#7F7F7F",
)
"""Okabe and Ito's colours, then Tol's muted colours, which colour-blind readers can distinguish."""

VERDICTS = {"right": "#0072B2", "wrong": "#D55E00"}
"""Frame colours of right and wrong predictions, which colour-blind readers can distinguish."""
_SPLITS = {"train": "#3B528B", "validation": "#21A585", "test": "#E8A33D"}
_OTHER_SPLITS = ("#B0B0B0", "#6E6E6E", "#D8D8D8")
_SERIES = ("#7A1F5C", "#8C8C8C", "#C7A76C", "#4F9D9D", "#B7B7B7", "#6B7FB3")
_INVISIBLE = ("Cc", "Cf", "Zs")  # Unicode categories: control and format characters, spaces
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")


def class_colours(class_names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each class, by its position; after ten classes the colours repeat."""
    return _assign(class_names, _CLASSES)


def split_colours(splits: Iterable[str]) -> dict[str, str]:
    """Return a colour for each split: fixed colours for train, validation and test, greys for other splits."""
    names = list(splits)
    others = _assign([name for name in names if name not in _SPLITS], _OTHER_SPLITS)
    return {name: _SPLITS.get(name) or others[name] for name in names}


def series_colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each model; the colour of the first model stands out."""
    return _assign(names, _SERIES)


def text_colour(background: str) -> str:
    """Return the colour for a text on a background colour: white or `INK`, whichever is more legible."""
    red, green, blue = to_rgb(background)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def elide(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters (3 or more) by cutting out its middle."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def literal(text: str) -> str:
    """Escape dollar signs, which start a formula in Matplotlib."""
    return text.replace("$", r"\$")


def elide_all(names: Sequence[str], length: int) -> list[str]:
    """Shorten names for a figure, and append numbers to names that became equal."""
    short = [elide(name, length) for name in names]
    return [
        literal(name if short.count(name) == 1 else f"{elide(name, max(3, length - 4))} #{index + 1}")
        for index, name in enumerate(short)
    ]


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width, `height` inches high, with constrained layout."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def plain_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: str = "both") -> None:
    """Label the axes and remove decoration; `grid` is x, y, both or none."""
    axes.set_title(title, fontsize=12, color=INK)
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    axes.tick_params(labelsize=10, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    if grid != "none":
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def legend_below(figure: Figure, colours: Mapping[str, str]) -> None:
    """Add one legend of colour patches below the figure."""
    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False, fontsize=11)


def legend_of(figure: Figure, axes: Axes) -> None:
    """Add the legend of the axes below the figure, in one line."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=11)


def choose_fonts(figure: Figure) -> None:
    """Add fonts of this machine to the texts of a figure, for characters that the default font lacks.

    If no font has a character, a warning names a font to install, once per script (such as Arabic) and process.
    """
    texts = figure.findobj(Text)
    characters = {one for text in texts for one in text.get_text() if unicodedata.category(one) not in _INVISIBLE}
    default = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    foreign = "".join(sorted(one for one in characters if not default.get_char_index(ord(one))))
    families, missing = _find_families(foreign) if foreign else ([], "")
    if families:
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *families])
    for character in missing:
        _warn_of_script(*_script(character))


def _assign(names: Sequence[str], palette: Sequence[str]) -> dict[str, str]:
    return {name: palette[index % len(palette)] for index, name in enumerate(names)}


@cache
def _find_families(characters: str) -> tuple[list[str], str]:
    """Return the font families that have the characters, and the characters that no font has."""
    families = []
    for font in _installed_fonts():
        face = font_manager.get_font(font.fname)
        lacking = "".join(one for one in characters if not face.get_char_index(ord(one)))
        if lacking != characters:
            families.append(font.name)
            characters = lacking
        if not characters:
            break
    return families, characters


@cache
def _installed_fonts() -> list[font_manager.FontEntry]:
    """Return the fonts in Matplotlib's font cache and newly installed fonts, upright sans-serif fonts first."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):  # for example a font of coloured bitmaps
            logger.debug("Matplotlib cannot read the font %s", path)
    fonts = [font for font in font_manager.fontManager.ttflist if not font.name.startswith("Last Resort")]
    return sorted(fonts, key=lambda font: (font.style != "normal", "Sans" not in font.name, font.weight != 400))


def _script(character: str) -> tuple[str, str]:
    """Return the script of a character, such as Arabic, and the name of a font that has this script."""
    word = unicodedata.name(character, "symbol").split()[0].split("-")[0]
    if word in _CJK:
        return "CJK", "Noto Sans CJK (Debian: fonts-noto-cjk)"
    if unicodedata.category(character).startswith("S") or word == "symbol":
        return "emoji or symbol", "Symbola (Debian: fonts-symbola)"
    return word.capitalize(), f"Noto Sans {word.capitalize()} (Debian: fonts-noto-core)"


@cache
def _warn_of_script(script: str, font: str) -> None:
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # Matplotlib would warn of each character
    logger.warning(
        "Figures show boxes instead of %s characters, because no installed font has them; install %s", script, font
    )
