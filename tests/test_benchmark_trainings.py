"""Comparisons of trainings: variants, recorded results and tables; slow: both commands on a few images."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from benchmarks import ablation, against_tutorial
from benchmarks.ablation import spread
from benchmarks.against_tutorial import NEVER, time_to
from benchmarks.classifiers import Job, train
from benchmarks.ingested import Project, changed, read_project, read_splits
from benchmarks.results import read, write_section
from benchmarks.trainings import Trainings, Variant, epochs_within, variants
from cli_runner import kedro_run
from factories import make_project, parameters, write_manifest
from tiny_training import tiny_network

import goodbad_pipeline.networks.model
from goodbad_pipeline.params import TrainingParams, validate_parameters


def training(**changes: object) -> TrainingParams:
    return validate_parameters(parameters(**changes))["training"]


def known(**changes: object) -> dict[str, Variant]:
    return variants(training(**changes), stock=(15,), tutorial=(10, 10))


def labels(folder: Path) -> Path:
    rows = [(f"{n}.png", f"{n:064x}", "good" if n % 2 else "bad", f"group {n}", None) for n in range(24)]
    columns = ["path", "image_id", "label", "group", "source_split"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "labels.parquet")
    return folder / "labels.parquet"


class Runner:
    """Fake trainings: an epoch of the project takes 3 seconds after a start of 5, the stock network 40 in total."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> dict:
        self.jobs.append(job)
        epochs = job.parameters["training"]["scratch_epochs"] or 7
        ends = [40.0] if job.arm == "stock" else [5 + 3.0 * (epoch + 1) for epoch in range(epochs)]
        curve = [{"seconds": end, "cpu": 2 * end, "val_accuracy": 0.5} for end in ends]
        end = {"accuracy": 0.75, "roc_auc": 0.875}
        return {"curve": curve, "validation": end, "test": end}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project("images", parameters(), labels(tmp_path))


def trainings_of(project: Project, runner: Runner, folder: Path) -> Trainings:
    return Trainings(project, known(), folder / "trainings.json", runner)


def test_every_variant_changes_what_its_title_names() -> None:
    groups = {
        name: validate_parameters(changed(parameters(), variant.changes))["training"]
        for name, variant in known().items()
    }
    plain = groups["plain"].recipe(jit_compile=False).augmentation
    assert not any([plain.moves, plain.by_layers, plain.brightness, plain.contrast])
    assert (groups["head"].epochs, groups["head"].head_epochs) == (0, groups["default"].head_epochs)
    assert groups["default"] == groups["tutorial"] == training()
    assert groups["scratch"] == training()


@pytest.mark.parametrize(
    ("present", "title", "other"), [(0, "with EMA (half-life half an epoch)", 0.5), (1, "no EMA", 0)]
)
def test_ema_variant_is_the_opposite_of_the_default(present: float, title: str, other: float) -> None:
    variant = known(training__ema=present)["ema"]
    assert (variant.title, variant.changes) == (title, {"training.ema": other})


def test_recorded_training_is_reused_until_a_decisive_parameter_changes(project: Project, tmp_path: Path) -> None:
    runner = Runner()
    first = trainings_of(project, runner, tmp_path).entry("head", 0)
    assert trainings_of(project, runner, tmp_path).entry("head", 0) == first
    assert len(runner.jobs) == 1
    trainings_of(project, runner, tmp_path).entry("head", 1)
    assert [job.parameters["splits"]["seed"] for job in runner.jobs] == [0, 1]

    same_settings = Project(project.name, project.changed({"training.checkpoint.keep": 5}), project.labels)
    trainings_of(same_settings, runner, tmp_path).entry("head", 0)
    assert len(runner.jobs) == 2
    other_settings = Project(project.name, project.changed({"training.learning_rate": 1.0}), project.labels)
    trainings_of(other_settings, runner, tmp_path).entry("head", 0)
    assert len(runner.jobs) == 3
    assert set(read(tmp_path / "trainings.json")) == {"images / head / 0", "images / head / 1"}


def test_scratch_as_long_gets_the_seconds_of_the_stock_network(project: Project, tmp_path: Path) -> None:
    runner = Runner()
    entry = trainings_of(project, runner, tmp_path).entry("scratch_as_long", 0)
    stock, probe, project_job = runner.jobs
    assert (stock.arm, stock.epochs) == ("stock", (15,))
    assert probe.parameters["training"]["scratch_epochs"] == 2
    assert project_job.parameters["training"]["scratch_epochs"] == 11
    assert project_job.parameters["model"]["weights"] == "none"
    assert entry["given"] == 40
    assert entry["seconds"] == 38
    trainings_of(project, runner, tmp_path).entry("scratch_as_long", 0)
    assert len(runner.jobs) == 3


@pytest.mark.parametrize(("seconds", "epochs"), [(1, 1), (12, 1), (16, 1), (17, 2), (40, 6)])
def test_epochs_within(seconds: float, epochs: int) -> None:
    assert epochs_within(seconds, [12.0, 17.0, 22.0][:2]) == epochs == epochs_within(seconds, [12.0, 17.0, 22.0])


def entry(seed: int, curve: list[tuple[float, float]], test: float, **more: object) -> dict:
    points = [{"seconds": at, "cpu": 2 * at, "val_accuracy": value} for at, value in curve]
    ends = {"validation": {"accuracy": curve[-1][1], "roc_auc": 1.0}, "test": {"accuracy": test, "roc_auc": 0.9}}
    facts = {"seed": seed, "curve": points, "seconds": curve[-1][0], "cpu": 0, "epochs": len(curve), "title": "one"}
    return {**facts, **ends, "machine": "a CPU", "date": "2026-01-01", "commit": "abc", **more}


def test_time_to_an_accuracy() -> None:
    one = entry(0, [(1, 0.5), (2, 0.9), (3, 0.8), (4, 0.95)], 0.9)
    assert time_to(0.9, one) == 2
    assert time_to(0.91, one, "cpu") == 8
    assert time_to(0.96, one) == NEVER


def test_comparison_shows_medians_and_never() -> None:
    tutorial = [(10, 0.6), (20, 0.8), (30, 0.7)]
    pairs = [
        (entry(0, tutorial, 0.70), entry(0, [(4, 0.80), (9, 0.9)], 0.90)),
        (entry(1, tutorial, 0.60), entry(1, [(4, 0.70), (10, 0.9)], 0.80)),
        (entry(2, tutorial, 0.65), entry(2, [(4, 0.70), (10, 0.7)], 0.85)),
    ]
    text = against_tutorial.table(pairs)
    assert "| 0 | 0.800 | 20.0 | 4.0 | 0.20 | 0.20 | 0.700 | 0.900 | 0.700 | 0.900 |" in text
    assert "| 2 | 0.800 | 20.0 | never | – | – | 0.700 | 0.700 | 0.650 | 0.850 |" in text
    assert "| median | 0.800 | 20.0 | 10.0 | 0.50 | 0.50 | 0.700 | 0.900 | 0.650 | 0.850 |" in text
    assert "validation accuracy in 0.50 of its time." in text
    assert "validation accuracy on 0 of 1 splits." in against_tutorial.table(pairs[2:])
    assert "a CPU, 2026-01-01, commit abc" in text


def test_ablation_has_one_line_per_variant() -> None:
    rows = [[entry(seed, [(seed + 1.0, 0.5)], 0.8 + seed / 10) for seed in range(2)], [entry(0, [(5, 0.5)], 0.5)]]
    lines = ablation.table(rows).splitlines()
    assert lines[2] == "| one | 0.850 (0.800–0.900) | 0.900 (0.900–0.900) | 2 (1–2) | 1 (1–1) | 0, 1 |"
    assert lines[3] == "| one | 0.500 | 0.900 | 5 | 1 | 0 |"
    assert spread([3.0]) == "3.000"


def test_each_command_has_its_own_section_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Title\n")
    write_section("old", "one", page)
    write_section("other", "two", page)
    write_section("new", "one", page)
    assert page.read_text() == (
        "# Title\n\n<!-- begin: one -->\nnew\n<!-- end: one -->\n\n<!-- begin: two -->\nother\n<!-- end: two -->\n"
    )


def test_project_is_read_with_changed_parameters(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    with pytest.raises(SystemExit, match=r"labels.parquet: missing; run `kedro run --pipeline=data` in"):
        read_project(folder)
    (folder / "data/03_primary").mkdir()
    labels(folder / "data/03_primary")
    loaded = read_project(folder, "images.root=elsewhere/sprites,training.ema=1")
    assert loaded.name == "sprites training.ema=1"
    assert loaded.parameters["training"]["ema"] == 1
    assert loaded.parameters["images"]["root"] == str(folder / "elsewhere/sprites")
    assert loaded.parameters["training"]["seed"] == parameters()["training"]["seed"]
    assert not loaded.splits(0).equals(loaded.splits(1))
    assert read_splits(loaded.labels, loaded.changed({"splits.seed": 1})).equals(loaded.splits(1))


@pytest.mark.parametrize(("arm", "epochs", "points"), [("project", (), 3), ("tutorial", (2, 1), 3), ("stock", (2,), 2)])
def test_each_arm_trains(
    arm: str, epochs: tuple[int, ...], points: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    """Both networks are replaced by one convolution."""
    import keras

    monkeypatch.setattr(goodbad_pipeline.networks.model, "build_network", lambda *_, **__: tiny_network())
    monkeypatch.setattr(keras.applications, "EfficientNetB0", lambda **_: tiny_network())
    root = write_manifest(tmp_path / "images")
    table = pd.read_csv(root / "labels.csv").assign(source_split=None)
    table["image_id"] = [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in table["path"]]
    table.to_parquet(tmp_path / "labels.parquet")
    changes = {"model__resolution": 32, "training__head_epochs": 2, "training__epochs": 1, "images__root": str(root)}
    results = train(Job(arm, tmp_path / "labels.parquet", parameters(**changes), epochs))
    times = [point["seconds"] for point in results["curve"]]
    assert len(times) == points
    assert times == sorted(times)
    assert {"accuracy", "roc_auc"} == set(results["test"]) == set(results["validation"])
    assert results["curve"][-1]["cpu"] > 0


@pytest.mark.slow
def test_both_commands_on_a_few_images(tmp_path: Path) -> None:
    folder, page = make_project(tmp_path / "project"), tmp_path / "results.md"
    kedro_run(folder, "data")
    arguments = ["--project", str(folder), "--params", "model.resolution=32,training.epochs=1,training.head_epochs=2"]
    arguments += ["--seeds", "0", "--tutorial-epochs", "1", "1", "--stock-epochs", "2"]
    arguments += ["--results", str(tmp_path / "trainings.json"), "--page", str(page)]
    against_tutorial.main(arguments)
    ablation.main([*arguments, "--variants", "default", "stock", "scratch_as_long"])
    entries = read(tmp_path / "trainings.json")
    names = [name.split(" / ")[1] for name in entries]
    assert names == ["tutorial", "default", "stock", "scratch_as_long"]
    assert [len(entry["curve"]) for entry in entries.values()][:3] == [2, 3, 2]
    assert all(0 <= entry["test"]["accuracy"] <= 1 and entry["seconds"] > 0 for entry in entries.values())
    text = page.read_text()
    assert "### Comparison with the usual tutorial: characters model.resolution=32" in text
    assert "keras.applications B0 from scratch, 2 epochs" in text
