import numpy as np

from goodbad_pipeline.evaluation.figures import confusion_matrix_figure


def test_counts_and_row_percentages_are_in_the_cells(drawn):
    texts = drawn(confusion_matrix_figure(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ["good", "bad"]))
    assert {"3\n75%", "1\n25%", "0\n0%", "1\n100%"} <= set(texts)
    assert {"True class", "Predicted class", "Share of the true class (%)", "good", "bad"} <= set(texts)
    assert "Confusion matrix: accuracy 80.0% on 5 images" in texts


def test_rows_are_true_classes_and_columns_predicted_ones():
    figure = confusion_matrix_figure(np.array([0, 0]), np.array([1, 1]), ["good", "bad"])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[0, 100], [0, 0]])


def test_a_class_without_images_has_no_percentage(drawn):
    texts = drawn(confusion_matrix_figure(np.array([0, 0]), np.array([1, 1]), ["good", "bad"]))
    assert texts.count("0\n–") == 2


def test_it_reads_well_with_few_and_many_classes(case, drawn):
    y_true, probabilities, names = case
    texts = drawn(confusion_matrix_figure(y_true, probabilities.argmax(axis=1), names))
    assert sum("\n" in text for text in texts) == len(names) ** 2


def test_few_classes_are_written_large():
    names = list("abcdefgh")
    figures = [confusion_matrix_figure(np.arange(k), np.arange(k), names[:k]) for k in (2, 8)]
    few, many = (figure.axes[0].title.get_size() for figure in figures)
    assert few == 1.5 * many
