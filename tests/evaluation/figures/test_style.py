import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.evaluation.figures.style import (
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
