import numpy as np
import pytest
from matplotlib.colors import to_rgba

from goodbad_pipeline.evaluation.figures import VERDICTS, class_colours, contact_sheet


def images(count, height=16, width=16):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_each_image_is_in_its_cell_with_its_caption(drawn):
    pixels = images(5)
    figure = contact_sheet(pixels, [f"image {index}" for index in range(5)], columns=3, title="Samples of good")
    texts = drawn(figure)
    assert texts[0] == "Samples of good"
    assert texts[1:] == [f"image {index}" for index in range(5)]
    shown = figure.axes[0].images
    for axes_image, image in zip(shown, pixels, strict=True):
        np.testing.assert_array_equal(axes_image.get_array(), image)
    lefts, _, bottoms, _ = zip(*(image.get_extent() for image in shown), strict=True)
    assert lefts[0] < lefts[1] < lefts[2]
    assert lefts[3] == lefts[0]
    assert bottoms[0] == bottoms[2] > bottoms[3]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (10, 30), (30, 10)])
def test_images_keep_their_shape(height, width, drawn):
    figure = contact_sheet(images(4, height, width), ["a"] * 4, columns=2, title="Samples")
    drawn(figure)
    box = figure.axes[0].images[0].get_window_extent()
    assert box.width / box.height == pytest.approx(width / height, rel=1e-3)


@pytest.mark.parametrize("columns", [1, 4, 8, 10])
def test_long_captions_stay_apart(columns, drawn):
    captions = ["images/human-loyalists/ROYAL-GUARD-attack-melee-12.png\ngood, predicted bad 99 %"] * 2 * columns
    drawn(contact_sheet(images(2 * columns), captions, columns, title="Most confident mistakes " * 8))


@pytest.mark.filterwarnings("ignore:Glyph")
def test_captions_of_wide_characters_stay_apart(drawn):
    drawn(contact_sheet(images(16), ["虎猫が眠っている写真の名前はとても長い" * 2] * 16, 8, "Samples"))


def test_a_caption_keeps_its_lines_and_both_ends(drawn):
    caption = drawn(contact_sheet(images(1), ["start" + "x" * 400 + "end\n\nlast"], 4, "Mistakes"))[1]
    assert caption.startswith("start")
    assert caption.endswith("end\n\nlast")
    assert "…" in caption


def test_dollars_are_no_formula(drawn):
    assert r"\$x_1\$" in drawn(contact_sheet(images(1), ["$x_1$"], 1, "Prices"))


def test_frames_take_their_colours():
    colours = class_colours(["good", "bad"])
    figure = contact_sheet(images(2), ["a", "b"], 2, "Mistakes", frames=[colours["bad"], colours["good"]])
    edges = [frame.get_edgecolor() for frame in figure.axes[0].patches]
    assert edges == [to_rgba(colours["bad"]), to_rgba(colours["good"])]


def test_the_legend_says_what_the_frames_mean(drawn):
    frames = [VERDICTS["right"], VERDICTS["wrong"]]
    texts = drawn(contact_sheet(images(2), ["a", "b"], 2, "Samples", frames=frames, legend=VERDICTS))
    assert texts[0] == "Samples"
    assert {"right", "wrong"} <= set(texts)
    colours = class_colours([f"a class with a long name {index}" for index in range(10)])
    texts = drawn(contact_sheet(images(2), ["a", "b"], 2, "Samples", frames=frames, legend=colours))
    assert len(texts) == 1 + 2 + 10
    repeated = class_colours([str(index) for index in range(11)])
    assert len(drawn(contact_sheet(images(2), ["a", "b"], 2, "Samples", frames=frames, legend=repeated))) == 1 + 2


def test_a_sheet_without_images_has_a_note(drawn):
    assert drawn(contact_sheet(images(0), [], 4, "Quarantine")) == ["Quarantine", "No images"]
