import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from goodbad_pipeline.evaluation.figures import metrics_figure, slices_figure, split_colours, split_figure
from goodbad_pipeline.evaluation.slices import SLICE_COLUMNS

METRICS = ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]


def comparison(models):
    return pd.DataFrame({"metric": METRICS} | {name: [0.9, 0.91, 0.92, 1.0, 0.2] for name in models})


def counts(labels):
    rows = [
        (split, label, share * 10 * (index + 1), share * (index + 1))
        for index, label in enumerate(labels)
        for split, share in (("test", 3), ("validation", 3), ("train", 14))
    ]
    return pd.DataFrame(rows, columns=["split", "label", "images", "groups"])


@pytest.mark.parametrize("models", [["model"], ["model", "colour histogram", "majority class"], list("abcdef")])
def test_every_metric_of_every_model_has_its_bar_and_number(models, drawn):
    figure = metrics_figure(comparison(models))
    texts = drawn(figure)
    assert {"accuracy", "balanced\naccuracy", "macro F1", "ROC AUC", "log loss", *models} <= set(texts)
    assert {"Score", "Loss", "Higher is better", "Lower is better"} <= set(texts)
    assert texts.count("0.90") == len(models)
    assert [len(axes.patches) for axes in figure.axes] == [4 * len(models), len(models)]


def test_numbers_of_neighbouring_bars_stay_apart(drawn):
    """Values of the sample; a number must not touch a bar of another model, either."""
    values = [[0.91, 0.5, 0.64, 0.45]] * 4 + [[0.2, 0.69, 0.72, 0.82], [0.06, 0.25, 0.25, 0.3], [0.05, 0, 0.2, 0.24]]
    models = ["model", "majority class", "colour histogram", "file properties"]
    names = [*METRICS, "brier", "ece"]
    figure = metrics_figure(pd.DataFrame(values, columns=models).assign(metric=names))
    drawn(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        bars = [bar.get_window_extent() for bar in axes.patches]
        for text in axes.texts:
            box = text.get_window_extent(renderer)
            own = min(bars, key=lambda bar: abs(bar.x0 + bar.x1 - box.x0 - box.x1))
            others = [bar for bar in bars if bar is not own]
            assert not any(bar.x0 < box.x1 - 1 and box.x0 + 1 < bar.x1 and bar.y1 > box.y0 for bar in others)


def test_a_slice_without_interval_does_not_look_certain(drawn):
    rows = [("hair", "red", 30, 6, 0.8, 0.6, 0.9), ("hair", "bald", 9, 1, 1.0, np.nan, np.nan)]
    figure = slices_figure(pd.DataFrame(rows, columns=SLICE_COLUMNS), 0.8)
    assert {"hair: red  (30)", "hair: bald  (9)", "no interval: a single group"} <= set(drawn(figure))
    known, unknown = figure.axes[0].lines[1:]
    assert (known.get_xydata()[:, 0].tolist(), unknown.get_xydata()[:, 0].tolist()) == ([0.8], [1.0])
    assert (known.get_marker(), known.get_color()) != (unknown.get_marker(), unknown.get_color())
    certain = slices_figure(pd.DataFrame(rows[:1], columns=SLICE_COLUMNS), 0.8)
    assert "no interval: a single group" not in drawn(certain)


def test_log_loss_alone_and_scores_alone_have_one_panel(drawn):
    table = comparison(["model", "majority class"])
    for part in (table[:4], table[4:]):
        figure = metrics_figure(part)
        drawn(figure)
        assert len(figure.axes) == 1


def test_a_missing_metric_is_labelled(drawn):
    table = comparison(["model", "majority class"])
    table.loc[0, "model"] = np.nan
    assert "n/a" in drawn(metrics_figure(table))


def test_splits_are_stacked_in_their_order_and_colours(drawn):
    figure = split_figure(counts(["good", "bad"]))
    texts = drawn(figure)
    assert {"Images: 600", "Groups: 60", "Images", "Groups", "Class", "good", "bad"} <= set(texts)
    assert {"train", "validation", "test", "140", "280", "14", "28"} <= set(texts)
    bars = figure.axes[0].patches
    assert [bar.get_x() for bar in bars] == [0, 0, 140, 280, 170, 340]
    colours = split_colours(["train", "validation", "test"])
    assert [bar.get_facecolor() for bar in bars[::2]] == [to_rgba(colour) for colour in colours.values()]


def test_many_long_class_names_read_well(drawn, long_names):
    drawn(split_figure(counts(long_names)))


def test_a_split_that_lacks_a_class_and_an_unusual_split_are_drawn(drawn):
    table = counts(["good", "bad"]).iloc[1:].replace("validation", "holdout")
    assert {"train", "test", "holdout"} <= set(drawn(split_figure(table)))
