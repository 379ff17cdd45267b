import json
from pathlib import Path

import pandas as pd
import pytest
from cli_runner import kedro_run, runs, store
from factories import parameters

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import CoefficientParams, ScalingStudyParams, validate_parameters
from goodbad_pipeline.pipelines.scaling_study.nodes import PAPER, compare_networks, draw_study, match_networks

SPLITS = pd.DataFrame({"label": ["bad", "good"] * 100, "split": "validation", "group": range(200)})
COEFFICIENTS = CoefficientParams(alpha=1.2, beta=1.1, gamma=1.15)


def study(**changes: object) -> ScalingStudyParams:
    changes = {f"scaling_study__{name}": value for name, value in changes.items()}
    typed = validate_parameters(parameters(**changes))["scaling_study"]
    assert isinstance(typed, ScalingStudyParams)
    return typed


def trials(networks: pd.DataFrame, **accuracies: float) -> pd.DataFrame:
    rows = [
        (row.network, seed, accuracies.get(row.dimension, 0.6) + 0.01 * seed, 0.7, 1.0, f"{row.network} {seed}")
        for row in networks.itertuples()
        for seed in (0, 1, 2)
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "val_accuracy", "val_loss", "seconds", "cache_key"])


def test_the_default_networks_cost_what_they_should() -> None:
    networks = match_networks(SPLITS, study(), COEFFICIENTS)
    assert networks["network"].iloc[0] == "base"
    assert len(networks) == 9
    compound = networks["dimension"] == "compound"
    assert networks.loc[compound, "product"].tolist() == pytest.approx([1.9203] * 2, abs=1e-4)
    assert networks.loc[~compound, "product"].isna().all()
    pd.testing.assert_series_equal(networks["ratio"], networks["multiple"], rtol=0.02, check_names=False)
    assert (networks["macs"] == (networks["ratio"] * networks["macs"].iloc[0]).round()).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"multiples": []}, "scaling_study.multiples: List should have at least 1 item"),
        ({"multiples": [1]}, "scaling_study.multiples.0: Input should be greater than 1, got 1"),
        ({"dimensions": ["height"]}, "scaling_study.dimensions.0: Input should be 'depth', 'width'"),
        ({"epochs": 0}, "scaling_study.epochs: Input should be greater than or equal to 1, got 0"),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(**changes)


def test_coefficients_that_scale_nothing_are_an_error_before_training() -> None:
    with pytest.raises(InputError, match="compound scaling up to ×64 does not reach 2 times the cost"):
        match_networks(SPLITS, study(), CoefficientParams(alpha=1, beta=1, gamma=1))


def test_overlap_is_reported_if_all_are_alike() -> None:
    networks = match_networks(SPLITS, study(), COEFFICIENTS)
    table, report = compare_networks(networks, trials(networks, compound=0.62), SPLITS)
    assert len(report["conclusions"]) == 3
    for conclusion in report["conclusions"]:
        assert "these data show no difference" in conclusion
        assert "lies" not in conclusion
    assert draw_study(table).get_size_inches()[0] == 10


def test_a_difference_is_reported_if_intervals_do_not_overlap() -> None:
    networks = match_networks(SPLITS, study(), COEFFICIENTS)
    _, report = compare_networks(networks, trials(networks, compound=0.95, base=0.3), SPLITS)
    at_two, at_four, base = report["conclusions"]
    assert at_two.startswith("compound at ×2 (0.960) lies above depth at ×2 (0.610), width at ×2 (0.610)")
    assert at_four.startswith("compound at ×4 (0.960) lies above depth at ×4 (0.610)")
    assert base.startswith("base (0.310) lies below depth at ×2")
    assert not any("no difference" in conclusion for conclusion in report["conclusions"])


def test_the_papers_table_7_is_shown_next_to_networks_of_about_its_cost() -> None:
    networks = match_networks(SPLITS, study(multiples=[2, 4, 8]), COEFFICIENTS)
    table, _ = compare_networks(networks, trials(networks), SPLITS)
    assert len(table) == len(networks)
    quoted = table.dropna(subset="paper_top1").set_index("network")["paper_top1"].to_dict()
    assert quoted == {
        "base": 0.773,
        "depth at ×4": 0.790,
        "width at ×4": 0.789,
        "resolution at ×4": 0.791,
        "compound at ×4": 0.811,
    }
    assert PAPER["paper_billion_flops"].tolist() == [0.4, 1.8, 1.8, 1.9, 1.8]


def test_one_dimension_alone_is_compared_with_the_base_once() -> None:
    networks = match_networks(SPLITS, study(dimensions=["compound"], multiples=[2, 8]), COEFFICIENTS)
    table, report = compare_networks(networks, trials(networks), SPLITS)
    (conclusion,) = report["conclusions"]
    assert conclusion.startswith(
        "base (0.610) has an interval that overlaps with compound at ×2 (0.610) and compound at"
    )
    assert table["paper_top1"].dropna().tolist() == [0.773]  # ×2 and ×8 are far from the paper's ×4.5


def test_only_classes_of_development_images_are_counted() -> None:
    rare = pd.DataFrame({"label": ["bird"], "split": ["test"], "group": [999]})
    without, with_test = (match_networks(table, study(), COEFFICIENTS) for table in (SPLITS, pd.concat([SPLITS, rare])))
    pd.testing.assert_frame_equal(without, with_test)


@pytest.mark.slow
def test_the_study_runs_and_its_trials_are_children(project: Path) -> None:
    kedro_run(project, "data")
    splits = pd.read_parquet(project / "data/05_model_input/splits.parquet")
    for path in splits.loc[splits["split"] == "test", "path"]:
        (project / "data/01_raw/characters" / path).unlink()
    kedro_run(project, "scaling_study")
    table = pd.read_csv(project / "data/08_reporting/study_table.csv")
    assert table["network"].tolist() == ["base", "compound at ×2"]
    assert table["paper_top1"].fillna(0).tolist() == [0.773, 0]
    report = json.loads((project / "data/08_reporting/study_report.json").read_text())
    assert "one seed per network allows no comparison" in report["conclusions"][0]
    assert (project / "data/08_reporting/scaling_study.png").read_bytes().startswith(b"\x89PNG")
    parent = next(run for run in runs(project) if run.data.tags["mlflow.runName"].startswith("scaling_study · "))
    assert parent.data.params["model.coefficients.alpha"] == "1.2"
    children = store(project).search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert {child.info.run_name for child in children} == {f"{name}, seed 0" for name in table["network"]}
