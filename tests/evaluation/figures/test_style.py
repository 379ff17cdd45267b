import io
import subprocess
import sys
import warnings

import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.text import Text

from goodbad_pipeline.evaluation.figures import split_figure, style
from goodbad_pipeline.evaluation.figures.style import (
    choose_fonts,
    class_colours,
    elide,
    elide_all,
    series_colours,
    split_colours,
    text_colour,
)


def test_more_classes_do_not_change_the_colour_of_a_class():
    assert class_colours(["good", "bad"]) == {"good": "#0072B2", "bad": "#D55E00"}
    assert class_colours(["good", "bad", "ugly"])["bad"] == "#D55E00"


def test_the_eleventh_class_has_the_colour_of_the_first():
    assert len(set(class_colours([str(index) for index in range(10)]).values())) == 10
    assert class_colours([str(index) for index in range(11)])["10"] == "#0072B2"


def test_a_split_has_the_same_colour_at_any_position():
    assert split_colours(["test"])["test"] == split_colours(["train", "odd", "test"])["test"]
    assert list(split_colours(["train", "odd", "test"])) == ["train", "odd", "test"]


def test_models_differ_from_each_other():
    assert len(set(series_colours(["model", "colours", "majority"]).values())) == 3


def test_text_reads_on_dark_and_light():
    assert text_colour("#000000") == "white"
    assert text_colour("#FFFFFF") != "white"


def test_both_ends_of_a_long_name_stay():
    assert elide("Northern woodpecker (male)", 16) == "Northern w…male)"
    assert elide("owl", 16) == "owl"


@settings(max_examples=50)
@given(st.text(max_size=60), st.integers(3, 40))
def test_names_never_exceed_their_length(text, length):
    assert len(elide(text, length)) == min(len(text), length)


def test_names_that_became_the_same_are_numbered():
    names = [f"woodpecker {middle * 20} juvenile" for middle in "ab"]
    assert elide_all([*names, "owl"], 16) == ["woodpec…nile #1", "woodpec…nile #2", "owl"]


def test_drawing_needs_no_pyplot():
    code = "import sys; from goodbad_pipeline.evaluation.figures import *; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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

    caches = (style._find_families, style._installed_fonts, style._warn_of_script)
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
    choose_fonts(figure)
    assert glyphs_missing(figure) == []
    assert "Testing Sans" in figure.findobj(Text)[0].get_fontfamily()
    assert caplog.text == ""


def test_a_warning_names_the_missing_font_of_each_script_once(install, caplog):
    install("Testing Sans", "猫")
    for _ in range(2):
        choose_fonts(figure_of("猫", "ねこ 고양이", "🐶🐱", "बिल्ली"))
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
    choose_fonts(figure)
    assert glyphs_missing(figure) == []
    assert figure.findobj(Text)[0].get_fontfamily() == ["sans-serif"]
    assert caplog.text == ""
