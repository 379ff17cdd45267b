"""A label comes out of tables, figures, reports and served answers as it was typed."""

import json
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from factories import catalog_config, parameters
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_folders import write_table
from report_kit import facts

from goodbad_pipeline import datasets
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.figures.style import elide_all
from goodbad_pipeline.evaluation.findings import list_findings
from goodbad_pipeline.evaluation.predictions import prediction_table
from goodbad_pipeline.images.sources import Columns, read_candidates
from goodbad_pipeline.images.splits import count_splits
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipelines.evaluation import nodes as evaluation
from goodbad_pipeline.reporting.pages import render_card, write_card, write_report
from goodbad_pipeline.serving.classifier import Classifier

TYPED = st.characters(exclude_categories=["C", "Zl", "Zp"])
LABELS = st.text(st.one_of(st.sampled_from("07.e+-_=@'\"<>&|$%*\\{}[]#~`,;:/ "), TYPED), min_size=1, max_size=9)
LABELS = LABELS.map(str.strip).filter(bool)
CONFIG = catalog_config()


class Text(HTMLParser):
    """The texts of an HTML page, with single spaces."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("td", "tr"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data

    @property
    def table(self) -> set[str]:
        return {" ".join(cell.split()) for cell in self.cells}


def stored(name: str, data: object, folder: Path) -> object:
    """Return ``data`` as another step of the pipeline reads it."""
    entry = CONFIG[name].get("dataset", CONFIG[name])
    dataset = getattr(datasets, entry["type"].rpartition(".")[2])(filepath=str(folder / Path(entry["filepath"]).name))
    dataset.save(data)
    return dataset.load()


def texts(figure: figures.Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}


def read_labels(root: Path, labels: list[str]) -> list[str]:
    quoted = ['"' + label.replace('"', '""') + '"' for label in labels]
    rows = "".join(f"{number}.png,{label}\n" for number, label in enumerate(quoted * 3))
    return (
        read_candidates(write_table(root, "path,label\n" + rows), "auto", None, Columns()).candidates["label"].tolist()
    )


@settings(max_examples=2)
@given(st.lists(LABELS, min_size=2, max_size=3, unique=True))
@example(["007", "7", "NA"])
@example(["1e5", "100000.0"])
@example(["=1+1", "'=1", "_a"])
def test_any_label_comes_out_as_it_was_typed(labels: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        column = read_labels(folder, labels)
        assert column == labels * 3
        names = sorted(labels)
        table = pd.DataFrame({"label": column, "kind": sorted(column)}).assign(
            split="test", copies="c", source_split=None
        )
        number = [str(row) for row in table.index]
        table = table.assign(path=number, group=number, image_id=[f"{row:064}" for row in table.index])
        splits = stored("splits", table, folder)
        counts = stored("split_counts", count_splits(splits), folder)
        assert sorted(counts["label"]) == sorted(names * 3)
        probabilities = np.random.default_rng(0).dirichlet(np.ones(len(names)), len(table))
        predictions = stored("test_predictions", prediction_table(splits, probabilities, Calibration(names)), folder)
        assert predictions["label"].tolist() == column
        params = validate_parameters(parameters(evaluation__replicates=200))["evaluation"]
        baseline = predictions.assign(baseline="majority")
        calibration = stored("calibration", Calibration(names).to_dict(), folder)
        metrics, _, intervals, per_class = evaluation.evaluate_predictions(predictions, baseline, calibration, params)
        slices, _, slice_figure = evaluation.measure_slices(predictions, splits, params)
        per_class, slices = stored("per_class_metrics", per_class, folder), stored("slices", slices, folder)
        assert per_class["class"].tolist() == names
        assert set(slices.loc[slices["column"] == "kind", "value"]) == set(names)
        shown = facts(per_class_metrics=per_class, slices=slices, calibration=calibration | {"threshold": 0.5})
        shown = json.loads(json.dumps(shown | {"splits": counts.to_dict("records")}, allow_nan=False))
        assert [row["class"] for row in shown["per_class"]] == shown["classes"] == names
        visible = {" ".join(label.split()) for label in labels}
        assert visible <= Text(write_report(shown, {})).table
        assert visible <= Text(render_card(write_card(shown))).table
        problems = list_findings(
            pd.concat([splits, splits.assign(split="validation")]),
            [],
            intervals,
            per_class,
            slices,
            masked_accuracy=0,
            unmasked_accuracy=1,
            test_metrics=metrics,
            wrong_labels=None,
        )
        few = next(problem["text"] for problem in problems if problem["code"] == "few_images")
        assert few == f"Too few test images for a claim about: {', '.join(f'{label} (3)' for label in names)}."
        index = np.arange(len(names))
        for figure in (figures.split_figure(counts), figures.confusion_matrix_figure(index, index, names)):
            figure.draw_without_rendering()
            assert {*elide_all(names, 26)} <= texts(figure)
        assert {f"kind: {name}  (3)" for name in elide_all(names, 26)} <= texts(slice_figure)
        assert all(np.isfinite(value) for value in metrics.values())


@settings(max_examples=25)
@given(st.lists(LABELS, min_size=2, max_size=3, unique=True))
def test_any_label_is_served_as_it_was_typed(labels: list[str]) -> None:
    class Network:
        def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
            return np.tile(np.eye(len(labels))[0], (len(pixels), 1))

    transform = validate_parameters(parameters())["images"].transform(32)
    classifier = Classifier(Network(), transform, Calibration(sorted(labels)))
    answer = json.loads(pd.Series(classifier._predict(np.zeros((1, 32, 32, 3), np.uint8))[0]).to_json(orient="values"))
    assert answer[0] == sorted(labels)[0]
    assert list(answer[2]) == sorted(labels)
