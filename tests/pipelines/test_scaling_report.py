import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from cli_runner import kedro_run, runs, store, table
from factories import parameters

from goodbad_pipeline.networks import paper
from goodbad_pipeline.networks.paper import NETWORKS
from goodbad_pipeline.params import ModelParams, TrainingParams, validate_parameters
from goodbad_pipeline.pipelines.scaling_report import nodes
from goodbad_pipeline.pipelines.scaling_report.nodes import tabulate_stages, trace_phi
from goodbad_pipeline.pipelines.training.nodes import choose_network

# What keras.applications 3.15 counts: parameters, multiply-adds in billions.
COUNTED = {
    "ResNet-50": (25_636_712, 3.858),
    "ResNet-152": (60_419_944, 11.282),
    "DenseNet-169": (14_307_880, 3.360),
    "Inception-v3": (23_851_784, 5.713),
    "Xception": (22_910_480, 8.357),
    "Inception-ResNet-v2": (55_873_736, 13.156),
    "NASNet-A": (88_949_818, 23.783),
}

SPLITS = pd.DataFrame({"label": ["bad", "good"] * 3, "split": "train"})


def model(**changes: object) -> ModelParams:
    changes = {f"model__{name}": value for name, value in changes.items()}
    typed = validate_parameters(parameters(**changes))["model"]
    assert isinstance(typed, ModelParams)
    return typed


def tabulate(splits: pd.DataFrame | None = None, **changes: object) -> pd.DataFrame:
    training = validate_parameters(parameters())["training"]
    assert isinstance(training, TrainingParams)
    return tabulate_stages(model(**changes), training, splits)


@pytest.fixture(scope="module")
def compared() -> pd.DataFrame:
    """The comparison of costs that are computed without building networks of keras.applications."""
    with pytest.MonkeyPatch.context() as patch:
        build_no_applications(patch)
        return nodes.compare_with_paper()


def build_no_applications(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paper, "NETWORKS", [replace(network, application=None) for network in NETWORKS])


def test_table_1_of_b0_is_the_papers() -> None:
    table = tabulate(family="efficientnet", resolution=None, weights="none")
    assert table["channels"].tolist() == [32, 16, 24, 40, 80, 112, 192, 320, 1280, 1280]
    assert table["layers"].tolist()[:-1] == [1, 1, 2, 2, 3, 3, 4, 1, 1]
    assert table["resolution"].tolist()[:-1] == [224, 112, 112, 56, 28, 14, 14, 7, 7]
    stages, total = table.iloc[:-1], table.iloc[-1]
    for column in ("parameters", "macs", "activations"):
        assert stages[column].sum() == total[column]
    assert total["macs"] == 385_814_752
    assert stages["macs_share"].sum() == pytest.approx(1, abs=1e-3)


def test_table_1_follows_the_chosen_phi() -> None:
    assert tabulate(phi=1.5).iloc[-1]["operator"] == "Lite φ = 1.5"


def test_the_classes_are_those_of_the_stored_splits() -> None:
    typed = validate_parameters(parameters(model__phi=1.5, model__weights="none"))
    trained = choose_network(SPLITS, typed["model"], typed["training"], typed["registry"], typed["images"], None)
    ours, papers = (tabulate(splits, phi=1.5).iloc[-1]["parameters"] for splits in (SPLITS, None))
    assert ours == trained["parameters"]
    assert papers - ours == 998 * (1280 + 1)


@pytest.mark.parametrize("budget", [{"max_parameters": 1e6}, {"max_parameters": 3e6}, {"max_memory_gb": 1.0}])
def test_a_budget_selects_the_same_network_as_in_training(budget: dict) -> None:
    typed = validate_parameters(parameters(model__phi=None, model__budget=budget))
    trained = choose_network(SPLITS, typed["model"], typed["training"], typed["registry"], typed["images"], None)
    bought = tabulate(SPLITS, phi=None, budget=budget).iloc[-1]
    assert bought["operator"] == trained["network"]
    assert bought["parameters"] == trained["parameters"]


def test_a_budget_without_images_logs_the_assumed_number_of_classes(caplog) -> None:
    caplog.set_level("INFO")
    bought = tabulate(phi=None, budget={"max_parameters": 3e6}).iloc[-1]
    assert 2.9e6 < bought["parameters"] <= 3e6
    assert "The network has 1000 classes (as in the paper, because no splits are stored)" in caplog.text


def test_phi_is_traced_next_to_the_published_networks() -> None:
    curve, published = trace_phi(model())
    assert (curve["phi"].min(), curve["phi"].max()) == (-4, 8)
    assert curve["macs"].is_monotonic_increasing
    assert published["variant"].tolist() == [f"B{number}" for number in range(8)]
    b3 = published.set_index("variant").loc["B3", ["phi_of_depth", "phi_of_width", "phi_of_resolution"]]
    assert b3.tolist() == pytest.approx([1.845, 1.913, 2.090], abs=1e-3)


@pytest.mark.parametrize("alpha", [pytest.param(2.0, marks=pytest.mark.long), 1.0])
def test_coefficients_of_one_give_no_phi(alpha: float) -> None:
    curve, published = trace_phi(model(coefficients={"alpha": alpha, "beta": 1.0, "gamma": 1.0}))
    assert published[["phi_of_width", "phi_of_resolution"]].isna().all(axis=None)
    assert curve["width"].eq(1).all()
    for figure in nodes.draw_scaling(curve, published):
        figure.canvas.draw()


def test_steep_coefficients_shorten_the_trace() -> None:
    curve, _ = trace_phi(model(coefficients={"alpha": 1.0, "beta": 1.4, "gamma": 1.0}))
    assert curve["phi"].min() == pytest.approx(-2.05)


def test_table_2_counts_our_networks_and_marks_what_it_quotes(compared: pd.DataFrame) -> None:
    assert compared["network"].tolist() == [network.name for network in NETWORKS]
    rows = compared.set_index("network")
    quoted = rows[(rows["source"] == "quoted") & ~rows.index.isin(COUNTED)]
    assert len(quoted) == 9
    assert quoted["flops_counted"].isna().all()
    ours = rows[rows["family"] == "EfficientNet"]
    assert ours[["parameters_ratio", "flops_ratio"]].apply(lambda ratio: ratio.between(0.98, 1.05)).all(axis=None)


def test_accuracy_is_drawn_with_every_network_by_name(compared: pd.DataFrame) -> None:
    figure = nodes.draw_accuracy(compared)
    flops, parameters_panel = figure.axes
    assert len(flops.texts) == len(NETWORKS) - 1  # GPipe's operations are not known
    assert {text.get_text() for text in parameters_panel.texts} >= {"B0", "B7", "GPipe", "NASNet-A"}


def test_the_pipeline_needs_no_images_and_logs_its_tables_and_figures(project: Path, monkeypatch) -> None:
    build_no_applications(monkeypatch)
    kedro_run(project, "scaling_report")
    (run,) = runs(project)
    logged = {
        file.path
        for folder in ("figures", "scaling_report")
        for file in store(project).list_artifacts(run.info.run_id, folder)
    }
    assert {f"figures/{name}.png" for name in ("accuracy_by_cost", "scaling_coefficients", "scaling_law")} <= logged
    assert {f"scaling_report/{name}.csv" for name in ("stage_costs", "paper_comparison", "phi_curve")} <= logged
    assert len(table(project, "stage_costs")) == 10


@pytest.mark.slow
def test_networks_of_keras_applications_are_counted_and_the_pipeline_takes_a_minute_at_most(project: Path) -> None:
    started = time.process_time()
    kedro_run(project, "scaling_report")
    assert time.process_time() - started < 60
    rows = table(project, "paper_comparison").set_index("network")
    for name, (parameters_counted, billions) in COUNTED.items():
        assert rows.loc[name, "parameters_counted"] == parameters_counted
        assert rows.loc[name, "flops_counted"] / 1e9 == pytest.approx(billions, abs=6e-4)
