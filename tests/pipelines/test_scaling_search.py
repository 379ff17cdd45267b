import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from cli_runner import kedro_run, runs, store
from factories import parameters

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.network_factory import check_networks
from goodbad_pipeline.params import ScalingSearchParams, validate_parameters
from goodbad_pipeline.pipelines.scaling_search.nodes import draw_ranking, list_candidates, rank_candidates

SPLITS = pd.DataFrame({"label": ["bad", "good"] * 40, "split": "validation", "group": range(80)})


def search(**changes: object) -> ScalingSearchParams:
    changes = {f"scaling_search__{name}": value for name, value in changes.items()}
    groups = validate_parameters(parameters(**changes))
    check_networks(groups)
    typed = groups["scaling_search"]
    assert isinstance(typed, ScalingSearchParams)
    return typed


def trials(candidates: pd.DataFrame, best: str, lead: float) -> pd.DataFrame:
    rows = [
        (name, seed, 0.6 + lead * (name == best) + 0.01 * seed, 0.7, 1.0, f"{name} {seed}")
        for name in candidates["network"]
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "val_accuracy", "val_loss", "seconds", "cache_key"])


def test_the_default_grid_holds_the_papers_coefficients_and_costs_about_the_same() -> None:
    candidates = list_candidates(SPLITS, search())
    assert 8 <= len(candidates) <= 12
    assert "α 1.2 · β 1.1 · γ 1.15" in set(candidates["network"])
    assert (candidates["product"] - 2).abs().max() <= 0.1
    assert candidates["ratio"].max() / candidates["ratio"].min() < 1.25
    assert candidates["macs"].is_unique


def test_candidates_far_from_doubling_are_logged_as_a_warning(caplog) -> None:
    list_candidates(SPLITS, search())
    assert not caplog.records
    list_candidates(SPLITS, search(alpha=[1.2], beta=[1.1], gamma=[1.1, 1.15], tolerance=0.5))
    assert [record.getMessage() for record in caplog.records] == [
        "α·β²·γ² differs by more than 10% from 2 for 1 of 2 candidates, so the candidates do not cost the same. "
        "A lower scaling_search.tolerance excludes these candidates: ['α 1.2 · β 1.1 · γ 1.1']"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": 0.001, "alpha": [1.2]}, "scaling_search: tolerance must admit a point of the grid: none of 16"),
        ({"alpha": []}, "scaling_search.alpha: List should have at least 1 item"),
        ({"beta": [0.9, 1.1]}, r"scaling_search.beta.0: Input should be greater than or equal to 1, got 0.9"),
        ({"seeds": [1, 1]}, "scaling_search: seeds must differ"),
        ({"base__resolution": 16}, "scaling_search.base.resolution: .*greater than or equal to 32, got 16"),
        ({"base__phi": -9}, "scaling_search.base: phi must leave at least 8 channels in every stage; at phi=-9"),
        ({"epoch": 3}, "scaling_search.epoch: unknown parameter"),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        search(**changes)
    assert "\n" not in str(error.value)


def test_a_clear_winner_is_reported_and_ready_to_paste() -> None:
    candidates = list_candidates(SPLITS, search())
    best = candidates["network"].iloc[3]
    ranking, report, snippet = rank_candidates(candidates, trials(candidates, best, 0.38), SPLITS)
    assert report["first"] == ranking["network"].iloc[0] == best
    assert "groups of images, do not overlap" in report["conclusion"]
    assert "no difference" not in report["conclusion"]
    pasted = yaml.safe_load(snippet)
    assert pasted == {"model": {"coefficients": dict(candidates.loc[3, ["alpha", "beta", "gamma"]])}}
    check_networks(validate_parameters(parameters(model__coefficients=pasted["model"]["coefficients"])))
    assert report["conclusion"] in snippet


def test_a_lead_on_many_images_of_few_groups_is_not_significant() -> None:
    candidates = list_candidates(SPLITS, search())
    best = candidates["network"].iloc[3]
    few = SPLITS.assign(group=[number // 8 for number in SPLITS["group"]])
    ranking, report, _ = rank_candidates(candidates, trials(candidates, best, 0.3), few)
    assert set(ranking["groups"]) == {10}
    assert "lies above" not in report["conclusion"]
    assert "the other the 80 validation images in 10 groups" in report["intervals"]
    _, report, _ = rank_candidates(candidates, trials(candidates, best, 0.3), SPLITS)
    assert "lies above" in report["conclusion"]


def test_only_classes_of_development_images_are_counted() -> None:
    rare = pd.DataFrame({"label": ["bird"], "split": ["test"], "group": [99]})
    without, with_test = (list_candidates(table, search()) for table in (SPLITS, pd.concat([SPLITS, rare])))
    pd.testing.assert_frame_equal(without, with_test)


def test_a_narrow_lead_is_not_significant() -> None:
    candidates = list_candidates(SPLITS, search())
    best = candidates["network"].iloc[0]
    ranking, report, _ = rank_candidates(candidates, trials(candidates, best, 0.03), SPLITS)
    assert ranking["rank"].tolist() == list(range(1, len(candidates) + 1))
    assert "these data show no difference" in report["conclusion"]
    assert "lies above" not in report["conclusion"]
    assert draw_ranking(ranking, trials(candidates, best, 0.03)).get_size_inches()[0] == 10


def test_candidates_of_other_costs_are_reported() -> None:
    candidates = list_candidates(SPLITS, search())
    _, report, _ = rank_candidates(candidates, trials(candidates, "", 0), SPLITS)
    least, most = candidates["ratio"].min(), candidates["ratio"].max()
    expected = f"The candidates cost ×{least:.2f} to ×{most:.2f} of the base: a higher cost may explain a higher rank."
    assert report["costs"] == expected


def test_a_single_candidate_is_not_compared() -> None:
    candidates = list_candidates(SPLITS, search(alpha=[1.2], beta=[1.1], gamma=[1.15]))
    _, report, _ = rank_candidates(candidates, trials(candidates, "", 0), SPLITS)
    assert report["costs"].endswith("they cost about the same.")
    assert report["conclusion"] == "α 1.2 · β 1.1 · γ 1.15 was the only candidate."


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """A project whose search has run twice, the images of the test split gone before the first."""
    from factories import make_project

    project = make_project(tmp_path_factory.mktemp("search") / "project")
    kedro_run(project, "data")
    splits = pd.read_parquet(project / "data/05_model_input/splits.parquet")
    for path in splits.loc[splits["split"] == "test", "path"]:
        (project / "data/01_raw/characters" / path).unlink()
    kedro_run(project, "scaling_search")
    shutil.copytree(project / "data/08_reporting", project / "first")
    kedro_run(project, "scaling_search")
    return project


@pytest.mark.slow
def test_the_search_ends_with_a_ranking_a_figure_and_a_snippet(searched: Path) -> None:
    ranking = pd.read_csv(searched / "data/08_reporting/search_ranking.csv")
    assert ranking["rank"].tolist() == [1, 2]
    assert {"alpha", "product", "macs", "accuracy", "spread", "low"} <= set(ranking.columns)
    report = json.loads((searched / "data/08_reporting/search_report.json").read_text())
    assert "one seed" in report["conclusion"]
    snippet = yaml.safe_load((searched / "data/08_reporting/search_parameters.yml").read_text())
    assert snippet["model"]["coefficients"]["alpha"] == ranking["alpha"].iloc[0]
    assert (searched / "data/08_reporting/search_ranking.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_each_trial_is_a_child_of_the_run_and_the_second_run_trains_nothing(searched: Path) -> None:
    parents = [run for run in runs(searched) if run.data.tags["mlflow.runName"].startswith("scaling_search · ")]
    assert len(parents) == 2
    for parent, reused in zip(parents, ("true", "false"), strict=True):
        assert parent.info.status == "FINISHED"
        assert parent.data.params["scaling_search.tolerance"] == "0.1"
        children = store(searched).search_runs(
            [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        )
        assert len(children) == 2
        assert {child.data.tags["trial.reused"] for child in children} == {reused}
        assert {"alpha", "beta", "gamma", "macs", "seed"} <= set(children[0].data.params)
        assert {"val_accuracy", "val_loss"} <= set(children[0].data.metrics)
        assert {child.info.status for child in children} == {"FINISHED"}
    files = {file.path for file in store(searched).list_artifacts(parents[0].info.run_id, "scaling_search")}
    assert {"scaling_search/search_ranking.csv", "scaling_search/search_parameters.yml"} <= files
    assert mlflow.active_run() is None


@pytest.mark.slow
def test_the_second_run_reports_the_same(searched: Path) -> None:
    for name in ("search_ranking.csv", "search_report.json", "search_parameters.yml"):
        assert (searched / "first" / name).read_text() == (searched / "data/08_reporting" / name).read_text()
