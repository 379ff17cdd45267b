"""Names in any script are drawn with a font of the machine, or a warning names the font that is missing."""

import io
import warnings

import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.text import Text

from goodbad_pipeline.evaluation.figures import fonts, split_figure


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes a font with some characters the only one that Matplotlib has not listed yet."""

    def make(name, characters):
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder([".notdef", "square"])
        builder.setupCharacterMap(dict.fromkeys(map(ord, characters), "square"))
        builder.setupGlyf({".notdef": square(), "square": square()})
        builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
        builder.setupHorizontalHeader(ascent=900, descent=0)
        builder.setupNameTable({"familyName": name, "styleName": "Regular"})
        builder.setupOS2()
        builder.setupPost()
        builder.save(tmp_path / f"{name}.ttf")
        return str(tmp_path / f"{name}.ttf")

    caches = (fonts._find_families, fonts._installed_fonts, fonts._warn_of_script)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    for one in caches:
        one.cache_clear()
    yield lambda *font: monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [make(*font)])
    for one in caches:
        one.cache_clear()


def square():
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in [(0, 900), (900, 900), (900, 0)]:
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def figure_of(*names):
    return split_figure(pd.DataFrame({"split": "train", "label": names, "images": 3, "groups": 1}))


def glyphs_missing(figure):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(io.BytesIO(), format="png")
    return [str(one.message) for one in caught if "missing from font" in str(one.message)]


def test_a_font_of_the_machine_draws_what_the_default_font_lacks(install, caplog):
    install("Testing Sans", "猫犬🐶")
    figure = figure_of("猫", "犬 dog", "🐶")
    fonts.choose_fonts(figure)
    assert glyphs_missing(figure) == []
    assert "Testing Sans" in figure.findobj(Text)[0].get_fontfamily()
    assert caplog.text == ""


def test_a_warning_names_the_missing_font_of_each_script_once(install, caplog):
    install("Testing Sans", "猫")
    for _ in range(2):
        fonts.choose_fonts(figure_of("猫", "ねこ 고양이", "🐶🐱", "बिल्ली"))
    warned = [record.getMessage() for record in caplog.records]
    assert sorted(warned) == [
        f"Figures show boxes instead of {script} characters, because no installed font has them; install {font}"
        for script, font in (
            ("CJK", "Noto Sans CJK (Debian: fonts-noto-cjk)"),
            ("Devanagari", "Noto Sans Devanagari (Debian: fonts-noto-core)"),
            ("emoji or symbol", "Symbola (Debian: fonts-symbola)"),
        )
    ]


def test_arabic_and_latin_need_no_other_font(install, caplog):
    figure = figure_of("قطة", "Hündin", "кошка", "😀\u200d\ufe0f")
    fonts.choose_fonts(figure)
    assert glyphs_missing(figure) == []
    assert figure.findobj(Text)[0].get_fontfamily() == ["sans-serif"]
    assert caplog.text == ""
