"""The hyperparameter search: its inputs, its results, and that a kill loses no trial."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest
import yaml
from cli_runner import kedro_run, runs, store, table
from factories import catalog_config, make_project, parameters
from kedro.io import DataCatalog
from postgres_server import PASSWORD, USER, postgres_server
from sqlalchemy import make_url

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.experiments import tuning
from goodbad_pipeline.experiments.search_space import resolve_space
from goodbad_pipeline.experiments.study import StudyStore
from goodbad_pipeline.experiments.tuning import TuningContext, confirm_finalists
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.params.experiments import RangeParams
from goodbad_pipeline.pipeline_registry import register_pipelines
from goodbad_pipeline.pipelines.tuning.nodes import choose_parameters
from goodbad_pipeline.training.stopping import StopRequest

TRIALS = 4


def context(pretrained: bool = True, dropout: float = 0.2, **changes: object) -> TuningContext:
    typed = validate_parameters(parameters(**changes))
    network = {"pretrained": pretrained, "dropout": dropout}
    return TuningContext(
        pd.DataFrame(), network, typed["model"], typed["training"], typed["images"], "goodbad", None, StopRequest()
    )


def resolved(context: TuningContext, **space: object) -> dict:
    tune = validate_parameters(parameters(tune__space=space))["tune"]
    return resolve_space(tune, context.present(tune), {"low": 0.0005, "high": 0.05})


def test_no_node_loads_the_test_split(tmp_path: Path) -> None:
    given = set().union(*(node.inputs for node in register_pipelines()["tune"].nodes))
    assert "development" in given
    assert not {"splits", "labels", "images", "pixels", "test_predictions"} & given
    entry = catalog_config()["development"]
    rows = [(f"{split}.png", split) for split in ("train", "validation", "test") for _ in range(3)]
    pd.DataFrame(rows, columns=["path", "split"]).to_parquet(tmp_path / "splits.parquet", index=False)
    catalog = DataCatalog.from_config({"development": {**entry, "filepath": str(tmp_path / "splits.parquet")}})
    assert set(catalog.load("development")["split"]) == {"train", "validation"}
    assert len(catalog.load("development")) == 6


def test_every_dimension_contains_the_present_value() -> None:
    present = context(training__learning_rate=0.2, training__optimizer="sgd", training__label_smoothing=0.3)
    space = resolved(
        present,
        training={
            "learning_rate": "auto",
            "optimizer": ["adamw", "rmsprop"],
            "label_smoothing": {"low": 0.0, "high": 0.1},
            "ema": [0, 0.5],
        },
        model={"dropout": {"low": 0.3, "high": 0.5}},
    )
    assert space["training.learning_rate"] == RangeParams(low=0.0005, high=0.2, log=True)
    assert space["training.optimizer"] == ["sgd", "adamw", "rmsprop"]
    assert space["training.label_smoothing"] == RangeParams(low=0.0, high=0.3)
    assert space["training.ema"] == [0, 0.5]
    assert space["model.dropout"] == RangeParams(low=0.2, high=0.5)


def test_a_range_that_cannot_contain_the_present_value_is_an_error() -> None:
    with pytest.raises(
        InputError,
        match=r"tune.space: training.weight_decay is set to 0.0, which a logarithmic range .* give a list of values",
    ):
        resolved(context(training__weight_decay=0), training={"weight_decay": {"low": 0.001, "high": 0.1, "log": True}})
    with pytest.raises(InputError, match=r"training.batch_norm_momentum is set to None, which a range"):
        resolved(context(pretrained=False), training={"batch_norm_momentum": {"low": 0.7, "high": 0.9}})
    with pytest.raises(
        InputError, match=r"uses none of training.scratch_learning_rate; .* such as training.learning_rate"
    ):
        resolved(context(), training={"scratch_learning_rate": "auto"})


def test_the_snippet_has_the_values_of_the_winner() -> None:
    values = {"training.learning_rate": 0.00312, "training.freeze_statistics": None, "model.dropout": 0.25}
    values["model.weights"] = "my net.h5"
    rows = [
        {
            "network": name,
            "trial": number,
            "seed": seed,
            "values": json.dumps(values),
            "cache_key": f"{number} {seed}",
            "seconds": 1.0,
            **dict.fromkeys(("val_loss", "val_accuracy", "val_balanced_accuracy", "val_f1_macro", "val_roc_auc"), 0.5),
            "val_log_loss": 0.5 - 0.1 * number,
        }
        for number, name in enumerate(["present parameters", "trial 1"])
        for seed in (0, 1)
    ]
    development = pd.DataFrame({"split": ["train", "validation", "validation"], "group": ["a", "b", "c"]})
    tune = validate_parameters(parameters())["tune"]
    ranking, best, metrics, snippet = choose_parameters(pd.DataFrame(rows), development, tune)
    assert ranking["network"].iloc[0] == "trial 1"
    assert best == values
    assert (metrics["best_val_log_loss"], metrics["present_val_log_loss"]) == (0.4, 0.5)
    pasted = yaml.safe_load(snippet)
    assert pasted == {
        "training": {"learning_rate": 0.00312, "freeze_statistics": None},
        "model": {"dropout": 0.25, "weights": "my net.h5"},
    }
    settings = (
        "training.learning_rate=0.00312,training.freeze_statistics=null,model.dropout=0.25,model.weights=my net.h5"
    )
    assert f"kedro run --pipeline=train '--params={settings}'\n" in snippet


def tune_process(project: Path) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "kedro",
        "run",
        "--env",
        "test",
        "--pipeline=tune",
        f"--params=tune.trials={TRIALS}",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def trial_states(project: Path) -> list[str]:
    file = project / "data/07_model_output/tuning.db"
    if not file.exists():
        return []
    try:
        (study,) = optuna.get_all_study_names(f"sqlite:///{file}")
        trials = optuna.load_study(study_name=study, storage=f"sqlite:///{file}").get_trials(deepcopy=False)
    except Exception:  # the process is making the tables
        return []
    return [trial.state.name for trial in trials]


class Retrained:
    """Replaces trainings from other seeds; a log loss of None is that of a training that did not reach its end."""

    training = SimpleNamespace(seed=4)

    def __init__(self, losses: dict[int, float | None]) -> None:
        self.losses, self.trained = losses, []

    def spec(self, network: str, number: int, values: dict, seed: int) -> SimpleNamespace:
        self.trained.append((number, seed))
        return SimpleNamespace(name=network, seed=seed, cache_key="", loss=self.losses[number])

    def train(self, *arguments: object) -> None:
        """Never called: `cache` returns the loss of the spec."""


def searched(losses: list[float]) -> pd.DataFrame:
    rows = [{"trial": number, "network": f"trial {number}", "val_log_loss": loss} for number, loss in enumerate(losses)]
    return pd.DataFrame(rows).assign(seed=4, values="{}", complete=1)


def cache(spec: SimpleNamespace, train: object) -> dict:
    return {"val_log_loss": spec.loss, "complete": int(spec.loss is not None)}


def test_the_seed_that_chose_the_finalists_does_not_count_again() -> None:
    retrained, tune = (
        Retrained({0: 0.4, 3: 0.5}),
        validate_parameters(parameters(tune__finalists=1, tune__seeds=2))["tune"],
    )
    finals = confirm_finalists(retrained, tune, searched([0.41, 0.6, 0.7, 0.1]), StudyStore(Path()), cache)
    assert retrained.trained == [(0, 5), (0, 6), (3, 5), (3, 6)]
    assert finals.groupby("trial")["val_log_loss"].mean().to_dict() == {0: 0.4, 3: 0.5}  # not the lucky 0.1


def test_finalists_that_no_other_seed_trains_are_an_error_of_one_line() -> None:
    tune = validate_parameters(parameters(tune__finalists=1, tune__seeds=1))["tune"]
    with pytest.raises(InputError, match=r"no training of a finalist reached its end \(2 finalists, .* 1 new seed\)"):
        confirm_finalists(
            Retrained({0: None, 3: None}), tune, searched([0.41, 0.6, 0.7, 0.1]), StudyStore(Path()), cache
        )


def test_processes_share_the_trainings_of_the_finalists(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "tuning_config", lambda *_: {"code": "1"})
    tune = validate_parameters(parameters(tune__finalists=1, tune__seeds=2))["tune"]
    tables = []
    for losses in ({0: 0.4, 3: 0.5}, {0: 0.8, 3: 0.9}):  # those of the second process are not used
        process = Retrained(losses)
        process.model = process.images = process.development = None
        process.stop = StopRequest()
        store = StudyStore(Path(), url=make_url(f"sqlite:///{tmp_path / 's.db'}"))
        tables.append(confirm_finalists(process, tune, searched([0.41, 0.6, 0.7, 0.1]), store, cache))
    assert tables[0]["val_log_loss"].tolist() == [0.4, 0.4, 0.5, 0.5]
    assert tables[0].equals(tables[1])


def is_in_third_trial(project: Path) -> bool:
    """Return whether the third trial has begun in the study and, a moment later, in MLflow."""
    if trial_states(project)[2:] != ["RUNNING"]:
        return False
    return [run.info.status for run in runs(project)].count("RUNNING") == 2  # the search and its trial


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory) -> Path:
    """A project whose search was killed in its third trial and resumed; images of the test split do not exist."""
    project = make_project(tmp_path_factory.mktemp("tune") / "project")
    kedro_run(project, "data")
    splits = table(project, "splits")
    for path in splits.loc[splits["split"] == "test", "path"]:
        (project / "data/01_raw/characters" / path).unlink()
    process = tune_process(project)
    while not is_in_third_trial(project):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert trial_states(project)[2:] == ["RUNNING"]
    kedro_run(project, "tune", tune__trials=TRIALS)
    return project


@pytest.mark.slow
def test_a_killed_search_ends_with_as_many_trials_and_the_best_is_no_worse(killed_once: Path) -> None:
    states = trial_states(killed_once)
    assert states[2] == "FAIL"  # the trial that was cut off; it is trained again
    assert len(states) == TRIALS + 1
    assert {*states[:2], *states[3:]} <= {"COMPLETE", "PRUNED"}
    trials = table(killed_once, "tuning_trials")
    assert trials["trial"].tolist() == list(range(TRIALS))
    ranking = table(killed_once, "tuning_ranking")
    present = ranking.loc[ranking["trial"] == 0, "score"].iloc[0]
    assert ranking["score"].iloc[0] <= present
    assert set(table(killed_once, "finalist_trials")["seed"]) == {1}


@pytest.mark.slow
def test_one_parent_run_has_the_best_values_and_every_trial_as_a_child(killed_once: Path) -> None:
    everything = runs(killed_once)
    (parent,) = [run for run in everything if run.data.tags["mlflow.runName"].startswith("tune ")]
    assert parent.info.status == "FINISHED"
    children = [run for run in everything if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    finished = [run for run in children if run.info.status == "FINISHED"]
    finals = table(killed_once, "finalist_trials")
    assert len(finished) == TRIALS + len(finals)
    assert [run.info.status for run in children if run not in finished] == ["KILLED"]
    best = json.loads((killed_once / "data/08_reporting/tuned_values.json").read_text())
    assert {f"best.{name}": str(value) for name, value in best.items()}.items() <= parent.data.params.items()
    assert parent.data.metrics["best_val_log_loss"] <= parent.data.metrics["present_val_log_loss"]
    files = {file.path for file in store(killed_once).list_artifacts(parent.info.run_id, "tuning")}
    assert "tuning/tuned_parameters.yml" in files
    assert {file.path for file in store(killed_once).list_artifacts(parent.info.run_id, "figures")} == {
        "figures/rate_figure.png",
        "figures/tuning_figure.png",
    }


@pytest.mark.slow
def test_the_snippet_is_valid_parameters(killed_once: Path) -> None:
    found = yaml.safe_load((killed_once / "data/08_reporting/tuned_parameters.yml").read_text())
    changes = {f"model__{name}": value for name, value in found["model"].items()}
    training = found["training"]
    augmentation = training.pop("augmentation")
    changes |= {f"training__{name}": value for name, value in training.items()}
    changes |= {f"training__augmentation__{name}": value for name, value in augmentation.items()}
    validate_parameters(parameters(**changes))


FAST = """
import goodbad_pipeline.experiments.study as study
study.HEARTBEAT, study.GRACE = 1, 10
from kedro.framework.cli import main
main()
"""


def shared_process(project: Path, url: str) -> subprocess.Popen:
    options = f"tune.trials={TRIALS},tune.storage={url},tune.credentials=searches"
    command = [sys.executable, "-c", FAST, "run", "--env", "test", "--pipeline=tune", f"--params={options}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (project / "out.txt").open("ab") as output:
        return subprocess.Popen(command, cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT)


def attempts(url: str, finals: bool = False) -> list[optuna.trial.FrozenTrial]:
    storage = make_url(url.replace("://", "+psycopg://")).set(username=USER, password=PASSWORD)
    try:
        storage = optuna.storages.RDBStorage(storage.render_as_string(hide_password=False))
        studies = optuna.get_all_study_summaries(storage)
        name = next(each.study_name for each in studies if ("finalists" in each.user_attrs["config"]) == finals)
        return optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    except Exception:  # the processes are making the tables
        return []


def stop_in_a_trial(process: subprocess.Popen, url: str, output: Callable[[], list[str]]) -> int:
    """Kill the process while it runs a trial; return the number of the trial."""
    while True:
        assert process.poll() is None, output()
        time.sleep(0.2)
        if not running(url, process):
            continue
        process.send_signal(signal.SIGSTOP)
        if trials := running(url, process):
            process.kill()
            process.wait()
            return trials[0]
        process.send_signal(signal.SIGCONT)


def running(url: str, process: subprocess.Popen) -> list[int]:
    trials = [trial for trial in attempts(url) if trial.state.name == "RUNNING"]
    return [trial.number for trial in trials if trial.user_attrs.get("process", "").endswith(f"-{process.pid}")]


@pytest.mark.slow
def test_runs_of_two_folders_search_together_and_one_takes_up_the_trial_of_the_other(tmp_path: Path) -> None:
    projects = [make_project(tmp_path / name) for name in ("first", "second")]
    for project in projects:
        kedro_run(project, "data")
        credentials = yaml.safe_dump({"searches": {"username": USER, "password": PASSWORD}}, allow_unicode=True)
        (project / "conf/test/credentials.yml").write_text(credentials)
    with postgres_server() as url:
        first, second = (shared_process(project, url) for project in projects)
        killed = stop_in_a_trial(first, url, lambda: [(each / "out.txt").read_text() for each in projects])
        assert second.wait() == 0, (projects[1] / "out.txt").read_text()
        assert shared_process(projects[0], url).wait() == 0, (projects[0] / "out.txt").read_text()
        trials, finals = attempts(url), attempts(url, finals=True)
    (dead,) = [trial for trial in trials if trial.state.name == "FAIL"]
    (again,) = [trial for trial in trials if "number" in trial.user_attrs]
    assert dead.number == killed == again.user_attrs["number"]
    assert dead.params == again.params
    assert again.user_attrs["process"].endswith(f"-{second.pid}")
    assert len(trials) == TRIALS + 1
    assert {trial.state.name for trial in trials if trial is not dead} <= {"COMPLETE", "PRUNED"}
    for name in (
        "07_model_output/tuning_trials.csv",
        "08_reporting/tuning_ranking.csv",
        "08_reporting/tuned_values.json",
    ):
        first_file, second_file = ((project / "data" / name).read_bytes() for project in projects)
        assert first_file == second_file
    assert table(projects[0], "tuning_trials")["trial"].tolist() == list(range(TRIALS))
    assert len(finals) == len(table(projects[0], "finalist_trials"))
    for project in projects:
        files = [file for file in project.rglob("*") if file.is_file() and file.name != "credentials.yml"]
        assert not [file for file in files if PASSWORD.encode() in file.read_bytes()]
