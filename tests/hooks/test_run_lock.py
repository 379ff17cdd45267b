"""Concurrent runs of one project: none reads what another one writes."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from factories import catalog_config
from full_disk import files_of_at_most
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node, pipeline

from goodbad_pipeline.datasets import JSONDataset
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks.run_lock import FOLDER, RunLock, RunLockHooks, _paths, acquire
from goodbad_pipeline.pipeline_registry import register_pipelines
from goodbad_pipeline.tracking.processes import ProcessIdentity, current_process

MARK = current_process()


def lock(reads: str = "", writes: str = "", process: ProcessIdentity = MARK) -> RunLock:
    return RunLock(process, "2026-11-21 10:00:00", "kedro run", frozenset(reads.split()), frozenset(writes.split()))


@pytest.fixture
def other() -> Iterator[ProcessIdentity]:
    """A process that runs until the test ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield dataclasses.replace(MARK, pid=process.pid, started=psutil.Process(process.pid).create_time())
        process.communicate(b"\n")


def test_the_current_process_runs_and_a_finished_one_has_ended() -> None:
    assert not current_process().has_ended()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert dataclasses.replace(MARK, pid=process.pid).has_ended()


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"boot": "another"}, True),
        ({"started": MARK.started - 3600}, True),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "boot": "another", "pid": 1}, False),
    ],
)
def test_a_process_is_identified_by_more_than_its_pid(changes: dict, ended: bool) -> None:
    assert dataclasses.replace(MARK, **changes).has_ended() == ended


@pytest.mark.parametrize(
    ("first", "second", "conflicts"),
    [
        (("splits", "model"), ("splits", "predictions"), []),
        (("splits", "model"), ("", "splits"), ["splits"]),
        (("", "splits"), ("splits", "model"), ["splits"]),
        (("", "splits labels"), ("", "labels splits"), ["labels", "splits"]),
        (("a", "b"), ("b", "a"), ["a", "b"]),
    ],
)
def test_runs_conflict_if_one_writes_what_the_other_uses(first, second, conflicts) -> None:
    assert lock(*first).conflicts(lock(*second)) == conflicts
    assert lock(*second).conflicts(lock(*first)) == conflicts


def test_the_error_names_process_start_time_and_command(tmp_path: Path, other: ProcessIdentity) -> None:
    acquire(lock("", "labels splits", other), tmp_path)
    with pytest.raises(InputError) as refused:
        acquire(lock("splits", "model"), tmp_path)
    assert str(refused.value).startswith(
        f"splits: in use by another run of this project, process {other.pid} on {MARK.host} since 2026-11-21 10:00:00 "
        "(kedro run); wait until it has ended"
    )
    acquire(lock("images", "predictions"), tmp_path)


def test_the_lock_of_a_process_that_has_ended_is_removed(tmp_path: Path, other: ProcessIdentity) -> None:
    file = acquire(lock("", "splits", dataclasses.replace(other, boot="before the last start")), tmp_path)
    acquire(lock("", "splits"), tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == [f"{MARK.host}-{MARK.pid}.json"]
    assert not file.exists()


def test_the_error_names_the_lock_file_of_another_host(tmp_path: Path) -> None:
    file = acquire(lock("", "splits", dataclasses.replace(MARK, host="elsewhere")), tmp_path)
    with pytest.raises(InputError, match=f"if it has ended, remove {file}"):
        acquire(lock("", "splits"), tmp_path)


@pytest.mark.parametrize(
    ("held", "now", "free"),
    [
        ("4711.0", {"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "1"}, True),
        ("4711.0", {"SLURM_JOB_ID": "4711"}, False),  # another step of the same attempt
        ("471.0", {"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "1"}, False),
        ("4711.0", {}, False),
        ("", {"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "1"}, False),
        ("", {}, False),
    ],
)
def test_a_requeued_job_removes_its_lock_of_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str, now: dict[str, str], free: bool
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in now.items():
        monkeypatch.setenv(name, value)
    there = lock("", "splits", dataclasses.replace(MARK, host="elsewhere"))
    file = acquire(dataclasses.replace(there, attempt=held), tmp_path)
    if free:
        acquire(lock("splits"), tmp_path)
        assert not file.exists()
    else:
        with pytest.raises(InputError, match="in use by another run"):
            acquire(lock("splits"), tmp_path)


def test_a_lock_records_the_slurm_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    beginning = hooks_of(tmp_path).before_pipeline_run({}, two_nodes(), DataCatalog())
    next(beginning)
    (file,) = (tmp_path / FOLDER).glob("*.json")
    assert json.loads(file.read_text())["attempt"] == "4711.2"


def test_a_full_disk_names_the_lock_file(tmp_path: Path) -> None:
    with files_of_at_most(10), pytest.raises(InputError, match=rf"{MARK.pid}\.json: cannot be written"):
        acquire(lock("", "splits"), tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_a_damaged_lock_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "host-1.json").write_text(json.dumps({"process": {}}))
    acquire(lock("", "splits"), tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1


def hooks_of(root: Path) -> RunLockHooks:
    hooks = RunLockHooks()
    hooks.after_context_created(SimpleNamespace(project_path=root))
    return hooks


def two_nodes() -> Pipeline:
    return pipeline([node(max, ["splits", "params:model"], "memory"), node(list, "memory", "model")])


@pytest.mark.parametrize("end", ["after_pipeline_run", "on_pipeline_error"])
def test_a_run_locks_stored_datasets_and_releases_them_at_its_end(tmp_path: Path, end: str) -> None:
    catalog = DataCatalog({name: JSONDataset(filepath=str(tmp_path / name)) for name in ("splits", "model", "labels")})
    hooks = hooks_of(tmp_path)
    beginning = hooks.before_pipeline_run({}, two_nodes(), catalog)
    next(beginning)
    (file,) = (tmp_path / FOLDER).glob("*.json")
    held = json.loads(file.read_text())
    assert (held["reads"], held["writes"]) == (["splits"], ["model"])  # relative to the project
    getattr(hooks, end)()
    assert not file.exists()
    getattr(hooks, end)()


def test_a_lock_contains_no_parameter_values(tmp_path: Path, other: ProcessIdentity, monkeypatch) -> None:
    option = "images.scan.engine_options.token.secret"
    monkeypatch.setattr(sys, "argv", ["kedro", "run", "--pipeline=data", f"--params={option}=CANARY,splits.seed=7"])
    monkeypatch.setattr("goodbad_pipeline.hooks.run_lock.current_process", lambda: other)
    parameters = {"images": {"scan": {"engine_options": {"token": {"secret": "CANARY"}}}}, "splits": {"seed": 7}}
    called = {"pipeline_names": ["data"], "runtime_params": parameters}
    catalog = DataCatalog({"model": JSONDataset(filepath=str(tmp_path / "model"))})
    beginning = hooks_of(tmp_path).before_pipeline_run(called, two_nodes(), catalog)
    next(beginning)
    (file,) = (tmp_path / FOLDER).glob("*.json")  # remains if the process is killed
    assert "CANARY" not in file.read_text()
    monkeypatch.undo()
    with pytest.raises(InputError) as refused:
        acquire(lock("model"), tmp_path / FOLDER)
    assert f"(kedro run --pipeline=data --params={option},splits.seed)" in str(refused.value)


def locked(pipeline: Pipeline, catalog: DataCatalog, root: Path) -> RunLock:
    """Return the lock of a run after it has begun."""
    beginning = hooks_of(root).before_pipeline_run({}, pipeline, catalog)
    next(beginning)
    (file,) = (root / FOLDER).glob("*.json")
    values = json.loads(file.read_text())
    file.unlink()
    return lock(" ".join(values["reads"]), " ".join(values["writes"]))


def test_two_datasets_of_one_file_conflict_even_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    catalog = DataCatalog(
        {
            "splits": JSONDataset(filepath=str(tmp_path / "data/splits.json")),
            "development": JSONDataset(filepath=str(tmp_path / "link/splits.json")),
        }
    )
    write, read = pipeline([node(list, "memory", "splits")]), pipeline([node(list, "development", "other")])
    assert locked(write, catalog, tmp_path).conflicts(locked(read, catalog, tmp_path)) == ["data/splits.json"]


SPLITS = "data/05_model_input/splits.parquet"


def test_pipelines_that_share_a_file_conflict() -> None:
    catalog = DataCatalog.from_config(catalog_config())

    def lock_of(name: str) -> RunLock:
        road = register_pipelines()[name]
        reads, writes = (_paths(names, catalog, Path()) for names in (road.inputs(), road.all_outputs()))
        return RunLock(MARK, "", "", reads, writes)

    data, train = lock_of("data"), lock_of("train")
    for name in ("tune", "scaling_search", "scaling_study", "train"):
        assert SPLITS in data.conflicts(lock_of(name)), name
    assert data.conflicts(lock_of("scaling_report")) == []  # stored splits are optional for it
    for name in ("tune", "scaling_search", "scaling_study", "predict", "follow"):
        assert train.conflicts(lock_of(name)) == [], name
    assert lock_of("follow").writes == frozenset()  # any number of processes may follow
    assert SPLITS in data.conflicts(lock_of("follow"))


def test_a_run_that_cannot_begin_releases_its_lock(tmp_path: Path) -> None:
    beginning = hooks_of(tmp_path).before_pipeline_run({}, two_nodes(), DataCatalog())
    next(beginning)
    assert list((tmp_path / FOLDER).glob("*.json"))
    with pytest.raises(InputError, match="no GPU"):
        beginning.throw(InputError("no GPU"))
    assert not list((tmp_path / FOLDER).glob("*.json"))
