import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.evaluation.figures import history_figure


def history(head, tuning):
    epochs = head + tuning
    loss = np.linspace(1, 0.2, epochs)
    val_loss = np.abs(np.arange(epochs) - (epochs - 2)) / epochs + 0.3  # kept: the last but one
    return pd.DataFrame(
        {
            "epoch": [*range(head), *range(tuning)],
            "phase": ["head"] * head + ["fine-tune"] * tuning,
            "loss": loss,
            "accuracy": 1 - loss / 2,
            "val_loss": val_loss,
            "val_accuracy": np.linspace(0.5, 0.9, epochs),
            "learning_rate": 1e-3,
            "kept": np.arange(epochs) == max(0, epochs - 2),
        }
    )


def test_both_panels_are_named_and_count_epochs_through_the_phases(drawn):
    figure = history_figure(history(3, 5))
    texts = drawn(figure)
    assert {"Loss", "Accuracy", "Epoch", "train", "validation", "kept epoch"} <= set(texts)
    assert texts.count("head") == texts.count("fine-tune") == 2
    for axes in figure.axes:
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(1, 9))


def test_the_boundary_of_phases_and_the_kept_epoch_are_marked():
    table = history(3, 5)
    figure = history_figure(table)
    for axes, column in zip(figure.axes, ("val_loss", "val_accuracy"), strict=True):
        boundary, kept, ring = axes.lines[2:]
        assert list(boundary.get_xdata()) == [3.5, 3.5]
        assert list(kept.get_xdata()) == [7, 7]
        assert ring.get_xydata().tolist() == [[7, pytest.approx(table[column][6])]]


def test_the_title_has_the_metric_of_the_kept_epoch(drawn):
    assert "Training history: kept epoch 7 of 8, val_accuracy 0.8429" in drawn(
        history_figure(history(3, 5), monitor="val_accuracy")
    )


@pytest.mark.parametrize(("head", "tuning"), [(1, 0), (1, 1), (1, 40), (10, 200)])
def test_short_and_long_histories_read_well(head, tuning, drawn):
    drawn(history_figure(history(head, tuning)))


def test_without_validation_nothing_is_marked(drawn):
    texts = drawn(history_figure(history(2, 2).assign(val_loss=np.nan, val_accuracy=np.nan)))
    assert "Training history: 4 epochs" in texts
    assert "kept epoch" not in texts


def test_in_a_history_of_an_older_version_nothing_is_marked(drawn):
    assert "Training history: 4 epochs" in drawn(history_figure(history(2, 2).drop(columns="kept")))


def test_the_history_is_not_changed():
    table = history(2, 2)
    before = table.copy()
    history_figure(table)
    pd.testing.assert_frame_equal(table, before)


def test_a_better_epoch_that_was_not_kept_is_not_marked(drawn):
    table = history(3, 5)
    table.loc[0, "val_loss"] = 0.01
    assert any("kept epoch 7 of 8" in text for text in drawn(history_figure(table)))
