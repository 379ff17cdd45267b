import json

import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.evaluation.figures import (
    history_chart,
    history_figure,
    roc_chart,
    slices_chart,
)
from goodbad_pipeline.evaluation.figures.interactive import MAX_POINTS
from goodbad_pipeline.evaluation.figures.style import series_colours, split_colours
from goodbad_pipeline.evaluation.metrics import roc_auc
from goodbad_pipeline.evaluation.slices import SLICE_COLUMNS


def plain(chart) -> dict:
    """The chart as a browser gets it; every array is a plain list, which all versions of plotly.js read."""
    text = chart.to_json()
    assert "bdata" not in text
    return json.loads(text)


def history() -> pd.DataFrame:
    rows = [
        (1, "head", 0.9, 0.6, 0.8, 0.61, 1e-3, False),
        (1, "all", 0.5, 0.8, 0.7, 0.7, 1e-4, True),
        (2, "all", 0.4, 0.9, np.nan, np.nan, 0, False),
    ]
    columns = ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "kept"]
    return pd.DataFrame(rows, columns=columns)


def test_the_history_has_tooltips_and_the_colours_of_the_splits():
    chart = plain(history_chart(history()))
    assert [line["y"] for line in chart["data"][:4]] == [
        [0.9, 0.5, 0.4],
        [0.8, 0.7, None],
        [0.6, 0.8, 0.9],
        [0.61, 0.7, None],
    ]
    assert chart["data"][0]["x"] == [1, 2, 3]
    assert chart["data"][0]["customdata"][1] == ["all", 1e-4]
    colours = list(split_colours(("train", "validation")).values())
    assert [line["line"]["color"] for line in chart["data"][:4]] == colours * 2


def test_the_history_marks_phases_and_the_kept_epoch_as_its_figure_does():
    chart = plain(history_chart(history()))
    lines = [(shape["x0"], shape["xref"]) for shape in chart["layout"]["shapes"]]
    assert sorted(lines) == [(x, axis) for x in (0.5, 1.5, 2) for axis in ("x", "x2")]
    phases = [(note["text"], note["x"], note["xref"]) for note in chart["layout"]["annotations"]]
    assert phases == [("head", 0.5, "x"), ("head", 0.5, "x2"), ("all", 1.5, "x"), ("all", 1.5, "x2")]
    assert [(ring["name"], ring["x"], ring["y"]) for ring in chart["data"][4:]] == [
        ("kept epoch", [2], [0.7]),
        ("kept epoch", [2], [0.7]),
    ]
    assert chart["layout"]["title"]["text"] == "Training history: kept epoch 2 of 3, val_loss 0.7000"
    assert history_figure(history()).get_suptitle() == chart["layout"]["title"]["text"]
    titles = [chart["layout"][axis]["title"]["text"] for axis in ("xaxis", "xaxis2", "yaxis", "yaxis2")]
    assert titles == ["Epoch", "Epoch", "Loss", "Accuracy"]


def test_a_history_without_validation_has_no_kept_epoch():
    chart = plain(history_chart(history().assign(val_loss=np.nan, val_accuracy=np.nan)))
    assert len(chart["data"]) == 4
    assert {shape["x0"] for shape in chart["layout"]["shapes"]} == {0.5, 1.5}  # the phases alone
    assert chart["layout"]["title"]["text"] == "Training history: 3 epochs"


def test_the_roc_curve_has_tooltips_with_thresholds():
    y_true, values = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.6, 0.4])
    chart = plain(roc_chart(y_true, {"model": np.stack([1 - values, values], axis=1)}, ["<b>", "good"]))
    (line,) = chart["data"]
    points = dict(zip(line["customdata"], zip(line["x"], line["y"], strict=True), strict=True))
    assert points[0.9] == (0, 0.5)
    assert points[0.4] == (0.5, 1)
    assert line["name"] == "model, AUC 0.750"
    assert chart["layout"]["title"]["text"] == "ROC: “good” against “&lt;b&gt;”"


def test_curves_stay_small_and_keep_their_ends_and_area(case):
    y_true, probabilities, names = case
    chart = plain(roc_chart(y_true, {"model": probabilities, "histogram": probabilities}, names))
    assert [line["line"]["color"] for line in chart["data"]] == list(series_colours(["model", "histogram"]).values())
    line = chart["data"][0]
    assert len(line["x"]) <= MAX_POINTS
    assert (line["x"][0], line["y"][0], line["x"][-1], line["y"][-1]) == pytest.approx((0, 0, 1, 1))
    assert np.trapezoid(line["y"], line["x"]) == pytest.approx(roc_auc(y_true, probabilities), abs=5e-3)


def test_each_slice_has_a_tooltip_with_name_interval_and_size():
    long = "a very long value that no axis has room for <script>"
    rows = [("hair", long, 30, 6, 0.8, 0.6, 0.9), ("hair", "red", 9, 1, 0.7, np.nan, np.nan)]
    chart = plain(slices_chart(pd.DataFrame(rows, columns=SLICE_COLUMNS), 0.75))
    (dots,) = chart["data"]
    assert dots["customdata"][0] == ["hair", long.replace("<", "&lt;").replace(">", "&gt;"), 30, 6, "0.600 to 0.900"]
    assert dots["customdata"][1][-1] == "no interval: a single group"
    assert dots["error_x"]["array"] == [pytest.approx(0.1), None]
    assert dots["marker"]["symbol"] == ["circle", "x-thin-open"]
    assert dots["marker"]["color"][0] == dots["error_x"]["color"] != dots["marker"]["color"][1]
    assert chart["layout"]["yaxis"]["ticktext"][1] == "hair: red  (9)"
    assert "× no interval: a single group" in chart["layout"]["xaxis"]["title"]["text"]
    assert "…" in chart["layout"]["yaxis"]["ticktext"][0]
    assert "<script>" not in json.dumps(chart)


def test_no_slices_make_an_empty_chart():
    assert plain(slices_chart(pd.DataFrame(columns=SLICE_COLUMNS), 0.75))["data"][0]["x"] == []
