import logging
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from cli_runner import kedro_run, runs
from factories import parameters
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

from goodbad_pipeline import exporting
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks import tracking
from goodbad_pipeline.hooks.checks import TABLES, CheckHooks, helps_after_error
from goodbad_pipeline.hooks.tracking import TrackingHooks, run_name, summary
from goodbad_pipeline.images.stores import with_root
from goodbad_pipeline.params import ModelParams, validate_parameters
from goodbad_pipeline.pipeline_registry import register_pipelines
from goodbad_pipeline.tracking.run_record import git_state, labels_digest
from goodbad_pipeline.tracking.store import resolve_store
from goodbad_pipeline.training import devices
from goodbad_pipeline.training.environment import LAUNCHERS
from goodbad_pipeline.training.stopping import Stopped

SETTINGS = {
    "server": {"mlflow_tracking_uri": "sqlite:///mlflow.db"},
    "tracking": {"experiment": {"name": "goodbad_pipeline"}},
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("server: {port: 1}", r"^mlflow\.yml: server\.port: Extra inputs are not permitted, got 1$"),
        ("tracking: 3", r"^mlflow\.yml: tracking: .*got 3$"),
    ],
)
def test_a_wrong_entry_of_mlflow_yml_is_named(project: Path, content: str, message: str) -> None:
    (project / "conf/local/mlflow.yml").write_text(content)
    bootstrap_project(project)
    with KedroSession.create(project) as session, pytest.raises(InputError, match=message):
        session.load_context()


def test_exactly_one_mlflow_hook_is_registered(project: Path) -> None:
    bootstrap_project(project)
    with KedroSession.create(project) as session:
        plugins = session._hook_manager.get_plugins()
    trackers = [plugin for plugin in plugins if isinstance(plugin, MlflowHook)]
    assert [type(plugin) for plugin in trackers] == [TrackingHooks]


def test_a_relative_store_is_at_the_project_root_with_artifacts_next_to_it(tmp_path: Path) -> None:
    settings = resolve_store(SETTINGS, tmp_path)
    assert settings["server"]["mlflow_tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    experiment = settings["tracking"]["experiment"]
    assert experiment["name"] == "goodbad_pipeline"
    assert experiment["create_experiment_kwargs"] == {"artifact_location": f"{tmp_path}/mlartifacts"}


def test_a_server_sets_its_own_artifact_location(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    settings = resolve_store(SETTINGS, tmp_path)
    assert settings["server"]["mlflow_tracking_uri"] == "http://127.0.0.1:9"
    assert "create_experiment_kwargs" not in settings["tracking"]["experiment"]


def test_parameters_are_plain_mappings_in_the_context_and_groups_in_the_catalog(project: Path) -> None:
    bootstrap_project(project)
    with KedroSession.create(project, runtime_params={"training": {"preset": "quick"}}) as session:
        context = session.load_context()
        catalog = context.catalog
    plain = [context.params, context.params["images"], context.params["images"]["columns"], catalog.load("parameters")]
    assert {type(mapping) for mapping in plain} == {dict}
    assert context.params["images"]["root"] == str(project / "data/01_raw/characters")
    assert isinstance(catalog.load("params:model"), ModelParams)
    assert catalog.load("params:model")["phi"] == 0
    assert catalog.load("params:model.coefficients").alpha == 1.2
    assert catalog.load("params:training").epochs == 2  # of the preset
    with pytest.raises(KeyError, match="fi"):
        catalog.load("params:model")["fi"]


def test_a_null_store_names_the_file_of_kedro_mlflow(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"server.mlflow_tracking_uri must be .* got null; .*remove that file"):
        resolve_store({**SETTINGS, "server": {"mlflow_tracking_uri": None}}, tmp_path)


def check_images(project: Path, root: Path, tables: dict[str, pd.DataFrame], *more: str) -> None:
    """Run the checks before a pipeline that reads these stored tables, with ``images.root``."""
    hooks = CheckHooks()
    raw = parameters(images__root=str(root))
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": raw}, project_path=project))
    stored = {name: MemoryDataset(table) for name, table in tables.items()} | {"params:images": MemoryDataset("images")}
    reads = pipeline([node(lambda *_: 1, [*tables, *more], "model")])
    hooks.before_pipeline_run({}, reads, DataCatalog(stored))


def images_in(folder: Path, content: bytes = b"123") -> pd.DataFrame:
    folder.mkdir()
    (folder / "1.png").write_bytes(content)
    return with_root(pd.DataFrame({"path": ["1.png", None], "size": [3, None]}), str(folder))


@pytest.mark.parametrize("name", TABLES)
def test_a_stored_table_of_other_images_is_named_before_the_run(tmp_path: Path, name: str) -> None:
    stored = {name: images_in(tmp_path / "made of, these")}
    images_in(tmp_path / "moved")
    check_images(tmp_path, tmp_path / "made of, these", stored, "params:images")
    check_images(tmp_path, tmp_path / "moved", stored, "params:images")
    images_in(tmp_path / "other", b"1234")
    for other in (tmp_path / "other", tmp_path / "missing"):
        message = (
            f"^images.root: the stored table '{name}' is of the images in '{tmp_path}/made of, these', got "
            f"'{other}'. To replace .* run --pipeline=data --params=images.root={other}. "
            f"To use the stored tables, add '--params=images.root={tmp_path}/made of, these' or "
        )
        with pytest.raises(InputError, match=message):
            check_images(tmp_path, other, stored, "params:images")
        check_images(tmp_path, other, stored)  # the parameter is not read


def test_stored_tables_of_different_images_are_not_mixed(tmp_path: Path) -> None:
    stored = {"images": images_in(tmp_path / "new", b"1234"), "splits": images_in(tmp_path / "old")}
    message = f"'splits' is of the images in '{tmp_path}/old'; of other images are images; run --pipeline=data"
    with pytest.raises(InputError, match=message):
        check_images(tmp_path, tmp_path / "new", stored, "params:images")
    with pytest.raises(InputError, match=message):
        check_images(tmp_path, tmp_path, stored)


@pytest.mark.parametrize("option", ["tags", "node_names", "from_nodes"])
def test_every_selection_of_nodes_that_reads_the_labels_reads_a_checked_table(option: str) -> None:
    value = {"tags": "splitting"}.get(option, "data.splitting.assign_splits")
    selected = register_pipelines()["__default__"].filter(**{option: [value]})
    assert "labels" in set(TABLES) & selected.inputs()
    assert "params:images" in selected.inputs()


@pytest.mark.parametrize(
    ("name", "accepted"), [("table", False), ("a_table", False), ("dated", True), ("a_dated", True), ("memory", False)]
)
def test_versions_are_only_loaded_of_datasets_with_versions(project: Path, name: str, accepted: bool) -> None:
    entry = "{type: pandas.CSVDataset, filepath: data/t.csv"
    (project / "conf/base/catalog_more.yml").write_text(
        f"table: {entry}}}\n'{{x}}_table': {entry}}}\ndated: {entry}, versioned: true}}\n"
        f"'{{x}}_dated': {entry}, versioned: true}}\nmemory: {{type: MemoryDataset}}\n"
    )
    bootstrap_project(project)
    with KedroSession.create(project) as session:
        context = session.load_context()
        expected = nullcontext() if accepted else pytest.raises(InputError, match=f"^--load-versions: '{name}' must be")
        with expected:
            context._get_catalog(load_versions={name: "2026-11-30T00.00.00.000Z"})


def test_a_model_that_was_evaluated_on_other_splits_is_not_registered(tmp_path: Path) -> None:
    splits = pd.DataFrame({"path": ["1.png"], "size": [3], "split": "test", "image_id": "a"})
    hooks = CheckHooks()
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": parameters()}, project_path=tmp_path))
    register = pipeline([node(max, ["splits", "params:images", "test_predictions"], "model_version")])
    stored = {"splits": MemoryDataset(splits), "params:images": MemoryDataset("images")}
    predictions = pd.DataFrame({"image_id": ["a"]})
    hooks.before_pipeline_run({}, register, DataCatalog({**stored, "test_predictions": MemoryDataset(predictions)}))
    other = MemoryDataset(predictions.assign(image_id="b"))
    with pytest.raises(
        InputError, match=r"test_predictions: .* evaluated on different images; run --pipeline=train first"
    ):
        hooks.before_pipeline_run({}, register, DataCatalog({**stored, "test_predictions": other}))


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("predict", None, "predict.source: name an image, folder"),
        ("predict", "none.png", "predict.source: must be an existing folder"),
        ("predict", "none.zip", "predict.source: must be an existing folder"),
        ("predict", "notes.txt", "'notes.txt' is not an image; as a manifest"),
        ("export", None, r"onnx is not installed; pip install .*\[export\]"),
        ("replay", None, "replay.run_id: name a run of MLflow"),
    ],
)
def test_what_a_pipeline_requires_is_checked_before_the_run(
    tmp_path: Path, monkeypatch, name: str, source: str | None, message: str
) -> None:
    (tmp_path / "notes.txt").write_text("a,b\n1,2\n")
    monkeypatch.setattr(exporting, "find_spec", lambda _: None)
    hooks = CheckHooks()
    raw = parameters(predict__source=source)
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": raw}, project_path=tmp_path))
    catalog = SimpleNamespace(exists=lambda _: True)
    with pytest.raises(InputError, match=message):
        hooks.before_pipeline_run({}, register_pipelines()[name], catalog)


def test_an_archive_to_predict_is_not_opened_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "damaged.zip").write_bytes(b"x")
    hooks = CheckHooks()
    raw = parameters(predict__source="damaged.zip")
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": raw}, project_path=tmp_path))
    hooks.before_pipeline_run({}, register_pipelines()["predict"], SimpleNamespace(exists=lambda _: True))


@pytest.mark.parametrize("name", ["predict", "replay"])
def test_a_pipeline_without_what_it_requires_starts_no_run(project: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"^(predict.source|replay.run_id): name "):
        kedro_run(project, name)
    assert runs(project) == []
    assert not list((project / "data").glob("*/images.parquet"))


@pytest.mark.parametrize(("error", "kept"), [(InputError("x"), False), (Stopped("x", "y"), False), (OSError(), True)])
def test_kedro_neither_repeats_an_error_of_the_user_nor_advises_to_resume(error: Exception, kept: bool, caplog) -> None:
    advice = logging.makeLogRecord({"levelno": logging.WARNING})
    try:
        raise DatasetError("save") from error
    except DatasetError:
        assert helps_after_error(advice) == kept
    assert helps_after_error(advice)

    import goodbad_pipeline.settings  # noqa: F401 - adds this filter to Kedro's loggers

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        node(fail, None, "nothing", name="fail").run()
    assert ("failed with error" in caplog.text) == kept


def labels() -> pd.DataFrame:
    return pd.DataFrame({"image_id": ["a", "b"], "label": ["x", "y"], "group": ["1", "2"], "path": ["p", "q"]})


def test_the_labels_digest_depends_on_labels_but_not_on_their_order() -> None:
    digest = labels_digest(labels())
    assert digest == labels_digest(labels().iloc[::-1])
    for column in ("image_id", "label", "group"):
        changed = labels()
        changed.loc[1, column] = "other"
        assert labels_digest(changed) != digest


def test_the_first_labels_are_logged_also_those_of_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[pd.DataFrame] = []
    monkeypatch.setattr(tracking.tracking, "current_run", object)
    monkeypatch.setattr(tracking, "_log_labels", logged.append)
    (stages,) = {name.partition(".")[0] for name in register_pipelines()["replay"].datasets() if "labels" in name}
    hooks = TrackingHooks()
    hooks._labels_logged = False
    for name in (f"{stages}.network", f"{stages}.labels", "splits"):
        hooks.after_dataset_loaded(name, labels())
    assert len(logged) == 1


def test_git_state_is_the_commit_and_whether_files_changed(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"git_commit": "unknown", "git_dirty": "unknown"}
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    clean = git_state(tmp_path)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] == "false"
    (tmp_path / "new").write_text("x")
    assert git_state(tmp_path)["git_dirty"] == "true"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "characters · goodbad · lite φ=0 128 px"),
        ({"images__root": "/data/pets/", "registry__name": "pets"}, "pets · lite φ=0 128 px"),
        (
            {"model__phi": None, "model__variant": "b2", "model__weights": "none"},
            "characters · goodbad · b2 128 px",
        ),
        (
            {"model__phi": None, "model__budget": {"max_macs": 1e8}, "model__family": "efficientnet"},
            "characters · goodbad · efficientnet budget",
        ),
    ],
)
def test_a_run_is_named_after_data_model_and_network(changes: dict, expected: str) -> None:
    used = validate_parameters(parameters(**changes))
    del used["predict"]
    assert run_name(["__default__"], used) == expected
    assert run_name(["train"], used) == f"train · {expected}"


def test_a_run_is_named_after_what_it_uses() -> None:
    used = validate_parameters(parameters(predict__source="/data/holiday"))
    assert run_name(["predict"], {name: used[name] for name in ("predict", "images", "registry")}) == (
        "predict · holiday · goodbad"
    )
    for source, name in (
        ("/data/1.jpg", "1.jpg"),
        (["/data/1.jpg", "/data/2.jpg"], "1.jpg + 1 more"),
        ("/pets/coin/*.*", "coin/*.*"),
        ("/pets/coin/**/?.jpg", "coin/**/?.jpg"),
        ("*.jpg", "*.jpg"),
        (["/pets/coin/*.jpg", "/pets/2.jpg", "/pets/3.jpg"], "coin/*.jpg + 2 more"),
        ("https://pets.org/1.jpg?size=9", "1.jpg?size=9"),
    ):
        used = validate_parameters(parameters(predict__source=source))
        assert run_name(["predict"], {"predict": used["predict"]}) == f"predict · {name}"
    assert run_name(["data"], {"images": used["images"], "model": None}) == "data · characters"
    assert run_name(["__default__"], {}) == "__default__"


def test_the_last_lines_state_accuracy_and_alias() -> None:
    metrics = {"test_accuracy": 0.9125, "test_roc_auc": 0.979}
    model = {"name": "pets", "version": "3", "alias": "challenger", "reason": "there is no gain"}
    bounds = {"test_accuracy_low": 0.7, "test_accuracy_high": 1.0}
    assert summary({"test_metrics": metrics | bounds, "registered_model": model}) == [
        "Test accuracy 0.912 (95 % interval 0.700 to 1.000), ROC AUC 0.979",
        "pets version 3 is challenger: there is no gain",
    ]
    assert summary({"test_metrics": metrics, "registered_model": {**model, "version": None}}) == [
        "Test accuracy 0.912 (too few groups for an interval), ROC AUC 0.979",
        "pets is challenger: there is no gain",
    ]
    assert summary({}) == []


@pytest.mark.parametrize(
    "size", [{"phi": 1}, {"phi": None, "budget": {"max_macs": 1e8}}, {"phi": None, "variant": "b2", "weights": "none"}]
)
@pytest.mark.parametrize("name", ["params:model", "params:model.coefficients"])
def test_odd_coefficients_log_one_warning_per_run_that_reads_them(caplog, tmp_path: Path, size: dict, name) -> None:
    raw = parameters(**{f"model__{key}": value for key, value in size.items()}, model__coefficients__gamma=1.1)
    hooks = CheckHooks()
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": raw}, project_path=tmp_path))
    validate_parameters(raw)  # as TrackingHooks does
    assert not caplog.records
    for inputs in (name, "params:images"):
        hooks.before_pipeline_run({}, pipeline([node(repr, inputs, "text")]), DataCatalog())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "α·β²·γ² = 1.757" in caplog.text


def test_the_papers_coefficients_log_no_warning(caplog, tmp_path: Path) -> None:
    hooks = CheckHooks()
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": parameters()}, project_path=tmp_path))
    hooks.before_pipeline_run({}, pipeline([node(repr, "params:model", "text")]), DataCatalog())
    assert not caplog.records


@pytest.mark.parametrize(("name", "needs"), [("pixels", True), ("pixel_cache", True), ("stored_splits", False)])
def test_a_required_gpu_is_checked_before_a_network_is_trained(name, needs, tmp_path: Path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(devices, "require_gpu", lambda **_: calls.append(True))
    raw = parameters(training__require_gpu=True)
    hooks = CheckHooks()
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": raw}, project_path=tmp_path))
    catalog = DataCatalog({name: MemoryDataset("data")})
    hooks.before_pipeline_run({}, pipeline([node(max, ["params:training", name], "model")]), catalog)
    assert bool(calls) == needs


def begin(tmp_path: Path, name: str, **changes: object) -> None:
    """Run the checks before a pipeline that trains."""
    hooks = CheckHooks()
    raw = parameters(**changes)
    hooks.after_context_created(SimpleNamespace(config_loader={"parameters": raw}, project_path=tmp_path))
    road = pipeline([node(max, ["params:training", "pixels"], "model")])
    hooks.before_pipeline_run({"pipeline_names": [name]}, road, DataCatalog({"pixels": MemoryDataset("data")}))


@pytest.fixture
def single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for starter in LAUNCHERS:
        for name in (starter.count, starter.index):
            monkeypatch.delenv(name, raising=False)


def test_the_networks_of_a_recorded_run_are_checked_before_its_replay(project: Path, monkeypatch) -> None:
    monkeypatch.chdir(project)
    bootstrap_project(project)
    impossible = parameters(model__phi=-40)["model"]
    monkeypatch.setattr(tracking, "read_replay_parameters", lambda _: {"model": impossible})
    with (
        KedroSession.create(project, runtime_params={"replay": {"run_id": "r"}}) as session,
        pytest.raises(InputError, match="model: phi must leave at least 8 channels in every stage; at phi=-40"),
    ):
        session.load_context()


@pytest.mark.usefixtures("single_process")
def test_distributed_training_in_a_single_process_logs_a_warning(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    begin(tmp_path, "train")
    assert not caplog.records
    begin(tmp_path, "train", training__distributed=True)
    assert "training.distributed: the environment describes a single process, which trains alone" in caplog.text


@pytest.mark.usefixtures("single_process")
def test_each_process_must_run_the_pipeline_of_its_rank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training\.distributed: must be true with --pipeline=follow, got False"):
        begin(tmp_path, "follow")
    with pytest.raises(InputError, match="--pipeline=follow: the environment describes a single process"):
        begin(tmp_path, "follow", training__distributed=True)
    place = {"COORDINATOR_ADDRESS": "a", "COORDINATOR_PORT": "1", "NUM_PROCESSES": "2"}
    for index, right, wrong in (("0", "train", "follow"), ("1", "follow", "train")):
        for name, value in {**place, "PROCESS_ID": index}.items():
            monkeypatch.setenv(name, value)
        begin(tmp_path, right, training__distributed=True)
        with pytest.raises(InputError, match=f"process {index} must run --pipeline={right}"):
            begin(tmp_path, wrong, training__distributed=True)


def with_storage(project: Path, **tune: str) -> DataCatalog:
    bootstrap_project(project)
    with KedroSession.create(project, runtime_params={"tune": tune}) as session:
        return session.load_context().catalog


def test_the_database_of_searches_has_the_credentials_of_conf_local(project: Path) -> None:
    assert with_storage(project).load("studies").url is None
    with pytest.raises(
        InputError, match=r"^tune.credentials: must be an entry of conf/local/credentials.yml, got 'db'"
    ):
        with_storage(project, storage="postgresql://me@host/db", credentials="db")
    (project / "conf/local/credentials.yml").write_text("db: {password: hunter2}\n")
    catalog = with_storage(project, storage="postgresql://me@host/db", credentials="db")
    assert catalog.load("studies").url.password == "hunter2"
    assert "hunter2" not in str(catalog) + repr(catalog.get("studies")) + str(catalog.load("params:tune"))
    (project / "conf/local/credentials.yml").unlink()
    with pytest.raises(
        InputError, match=r"^tune.storage: a URL must contain no password.*in tune.credentials$"
    ) as caught:
        with_storage(project, storage="postgresql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_the_database_of_searches_must_answer_before_the_run(project: Path) -> None:
    tune = register_pipelines()["tune"]
    catalog = DataCatalog({name: MemoryDataset(0) for name in tune.inputs()})
    hooks = CheckHooks()
    bootstrap_project(project)
    with KedroSession.create(
        project, runtime_params={"tune": {"storage": "postgresql://me@127.0.0.1:9/db"}}
    ) as session:
        hooks.after_context_created(session.load_context())
    with pytest.raises(InputError, match=r"^tune.storage: 'postgresql://me@127.0.0.1:9/db' cannot be used"):
        hooks.before_pipeline_run({}, tune, catalog)
