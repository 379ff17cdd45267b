"""Fonts for names in scripts that Matplotlib's own font, DejaVu Sans, lacks."""

import logging
import unicodedata
import warnings
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

logger = logging.getLogger(__name__)

_INVISIBLE = ("Cc", "Cf", "Zs")  # Unicode categories: control and format characters, spaces
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")


def choose_fonts(figure: Figure) -> None:
    """Add fonts of this machine to the texts of a figure, for characters that the font of the texts lacks.

    For each script whose characters no font has, a warning names a font to install, once in a process.
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
