import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from goodbad_pipeline.evaluation.figures import metrics_figure, split_colours, split_figure

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
