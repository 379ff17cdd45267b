"""Entries on disk: a kill or a full disk costs at most the entry that was being written."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from full_disk import files_of_at_most
from mlflow.exceptions import MlflowException
from outbox_kit import Tracked

from goodbad_pipeline import tracking
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.tracking.outbox import EntryQueue
from goodbad_pipeline.tracking.server import Server
from goodbad_pipeline.tracking.store import lock_store


def test_an_incomplete_last_line_is_skipped(tracked: Tracked) -> None:
    tracked.line.cut = True
    for step in (1, 2):
        tracking.log_metrics({"loss": 1.0}, step=step)
    tracking.end_run("FINISHED")
    (path,) = tracked.left()
    entries = path / "entries.jsonl"
    entries.write_text(entries.read_text()[:-20])
    assert tracking.send_outbox(tracked.folder) == (2, 0)
    assert tracked.steps() == [1, 2]


def test_run_ids_are_found_again_if_their_file_is_damaged(tracked: Tracked, tmp_path: Path) -> None:
    outbox, _ = tracked.new_outbox(offline=True)
    tracking.begin_run(outbox, tracking.start_offline_run(outbox, f"torn {tmp_path}", {}, "a run", {}))
    tracking.log_metrics({"loss": 0.5}, step=1)
    tracking.end_run("FINISHED")
    (path,) = tracked.left()
    EntryQueue(path).send(Server(tracked.client))
    (path / "told").write_bytes(b".")
    (path / "ids.json").write_text((path / "ids.json").read_text()[:20])
    assert tracking.send_outbox(tracked.folder) == (2, 0)
    experiment = tracked.client.get_experiment_by_name(f"torn {tmp_path}")
    (run,) = tracked.client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", 0.5)
    assert tracked.left() == []


def test_the_file_of_run_ids_is_replaced_atomically(tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text("{}")
    server = SimpleNamespace(ids={"local-1": "1" * 32}, send=lambda *_: None)
    with files_of_at_most(30), pytest.raises(InputError, match=r"ids\.json: cannot be written"):
        EntryQueue(tmp_path, "http://x")._send({"do": "start", "run": "local-1"}, server)
    assert (tmp_path / "ids.json").read_text() == "{}"


def test_a_full_disk_costs_only_the_entry_that_was_being_written(tracked: Tracked) -> None:
    tracked.line.cut = True
    tracking.log_metrics({"loss": 1.0}, step=1)
    (path,) = tracked.left()
    size = (path / "entries.jsonl").stat().st_size
    with files_of_at_most(size + 30), pytest.raises(InputError, match=r"entries\.jsonl: cannot be written"):
        tracking.log_metrics({"loss": 1.0}, step=2)
    assert (path / "entries.jsonl").stat().st_size == size + 30
    tracking.log_metrics({"loss": 1.0}, step=3)
    tracked.line.cut = False
    tracking.end_run("FINISHED")
    assert tracked.steps() == [1, 3]


def test_a_full_disk_names_the_database_of_mlflow(tracked: Tracked) -> None:
    with lock_store(tracked.uri):
        pass
    with files_of_at_most(100), pytest.raises(MlflowException) as failure:
        tracked.client.create_run(tracked.experiment)
    cause = failure.value.__cause__
    assert isinstance(cause, InputError)
    assert re.search(r"mlflow\.db: cannot be written \((disk I/O error|database or disk is full)\)", str(cause))
    with files_of_at_most(100), pytest.raises(InputError, match=r"entries\.jsonl: cannot be written|uri"):
        tracking.log_metrics({"loss": 1.0}, step=1)  # cannot wait either, because the disk is full
    tracking.log_metrics({"loss": 1.0}, step=2)
    assert 2 in tracked.steps()


def test_a_full_disk_names_the_artifact(tracked: Tracked, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(b"x" * 100_000)
    tracking.log_file(tmp_path / "report.html", "reports")
    (tmp_path / "other.html").write_bytes(b"x" * 100_000)
    named = r"/artifacts/.*/reports/other\.html: cannot be written \(File too large\)"
    with files_of_at_most(50_000), pytest.raises(InputError, match=named):
        tracking.log_file(tmp_path / "other.html", "reports")
    stored = tracked.client.download_artifacts(tracked.run, "reports/report.html")
    assert Path(stored).stat().st_size == 100_000


def test_a_full_disk_names_the_file_of_entries(tracked: Tracked) -> None:
    tracked.line.cut = True
    tracking.log_metrics({"loss": 1.0}, step=1)
    with files_of_at_most(10), pytest.raises(InputError, match=r"entries\.jsonl: cannot be written"):
        tracking.log_metrics({"loss": 1.0}, step=2)
    assert tracking.end_run("FINISHED") == 2
