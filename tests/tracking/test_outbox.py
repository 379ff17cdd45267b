"""The outbox: entries are sent later, in order, without loss or duplicates."""

import json
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from outbox_kit import Tracked

from goodbad_pipeline import tracking
from goodbad_pipeline.tracking import outbox
from goodbad_pipeline.tracking.outbox import EntryQueue
from goodbad_pipeline.tracking.server import Server, is_denied, is_unavailable

DATASET = {"name": "labels", "digest": "1", "source_type": "code", "source": "{}", "schema": "", "profile": ""}


def log_all(folder: Path, epochs: range) -> None:
    """Log one entry of each kind, and the metrics of each epoch."""
    for epoch in epochs:
        tracking.log_metrics({"loss": 1 / epoch}, step=epoch, once=True)
    tracking.log_metrics({"test": 0.5})
    tracking.log_params({f"p{number}": number for number in range(250)})
    tracking.set_tags({"tag": "value"})
    (folder / "table.csv").write_text("a,b\n")
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "a.png").write_bytes(b"png")
    tracking.log_file(folder / "table.csv", "data")
    tracking.log_file(folder / "figures")
    tracking.log_input(DATASET, "labels")


def assert_all_logged(tracked: Tracked, epochs: int) -> None:
    run = tracked.client.get_run(tracked.run)
    assert tracked.steps() == list(range(1, epochs + 1))
    assert tracked.steps("test") == [0]
    assert len(run.data.params) == 250
    assert run.data.tags["tag"] == "value"
    assert [found.path for found in tracked.client.list_artifacts(tracked.run, "data")] == ["data/table.csv"]
    assert [found.path for found in tracked.client.list_artifacts(tracked.run, "figures")] == ["figures/a.png"]
    assert [found.dataset.digest for found in run.inputs.dataset_inputs] == ["1"]


def test_pending_entries_are_sent_before_new_ones(tracked: Tracked, tmp_path: Path, caplog) -> None:
    tracking.log_metrics({"loss": 1.0}, step=1, once=True)
    tracked.line.cut = True
    log_all(tmp_path, range(2, 5))
    assert tracked.steps() == [1]
    assert len(tracked.left()) == 1
    (tmp_path / "table.csv").unlink()  # the outbox has a copy
    tracked.line.cut = False
    tracking.log_metrics({"loss": 1 / 5}, step=5, once=True)
    assert_all_logged(tracked, 5)
    assert tracking.end_run("FINISHED") == 0
    assert tracked.client.get_run(tracked.run).info.status == "FINISHED"
    assert tracked.left() == []
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_an_unavailable_store_is_retried_after_a_pause(tracked: Tracked, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 600.0)
    tracked.line.cut = True
    tracking.log_metrics({"loss": 1.0}, step=1)
    tracked.line.cut = False
    tracking.log_metrics({"loss": 1.0}, step=2)
    assert tracked.steps() == []
    assert tracking.end_run("FINISHED") == 0  # the end of a run retries at once
    assert tracked.steps() == [1, 2]


def test_entries_that_wait_at_the_end_of_a_run_are_sent_later(tracked: Tracked, tmp_path: Path) -> None:
    tracked.line.cut = True
    log_all(tmp_path, range(1, 4))
    waiting = tracking.end_run("FINISHED")
    assert waiting == 3 + 7
    assert tracked.client.get_run(tracked.run).info.status == "RUNNING"
    assert tracking.send_outbox(tracked.folder, "http://another") == (0, 0)
    assert tracking.send_outbox(tracked.folder, tracked.uri) == (waiting, 0)
    assert_all_logged(tracked, 3)
    info = tracked.client.get_run(tracked.run).info
    assert info.status == "FINISHED"
    assert info.end_time <= tracked.client.get_metric_history(tracked.run, "loss")[-1].timestamp + 60_000
    assert tracking.send_outbox(tracked.folder) == (0, 0)
    assert tracked.left() == []


@pytest.mark.parametrize("lost", [1, 3, 10])
def test_an_entry_that_is_sent_twice_is_logged_once(tracked: Tracked, tmp_path: Path, lost: int) -> None:
    """After a kill between sending an entry and recording that."""
    tracked.line.cut = True
    log_all(tmp_path, range(1, 4))
    tracking.end_run("FINISHED")
    (path,) = tracked.left()
    EntryQueue(path).send(Server(tracked.client))
    (path / "told").write_bytes(b"." * (10 - lost))
    assert tracking.send_outbox(tracked.folder) == (lost, 0)
    assert_all_logged(tracked, 3)


def test_a_lost_response_logs_nothing_twice(tracked: Tracked, tmp_path: Path) -> None:
    tracked.line.responds = False
    log_all(tmp_path, range(1, 4))
    tracked.line.responds = True
    tracking.end_run("FINISHED")
    assert_all_logged(tracked, 3)


def test_the_queue_of_a_running_process_is_left_alone(tracked: Tracked) -> None:
    tracked.line.cut = True
    tracking.log_metrics({"loss": 1.0}, step=1)
    assert tracking.send_outbox(tracked.folder) == (0, 0)
    tracking.end_run("FINISHED")
    assert tracking.send_outbox(tracked.folder) == (2, 0)


def test_entries_wait_while_the_store_is_unavailable(tracked: Tracked, monkeypatch) -> None:
    tracked.line.cut = True
    tracking.log_metrics({"loss": 1.0}, step=1)
    tracking.end_run("FINISHED")
    monkeypatch.setattr(outbox, "MlflowClient", lambda uri: tracked.line)
    assert tracking.send_outbox(tracked.folder) == (0, 2)
    tracked.line.cut = False
    assert tracking.send_outbox(tracked.folder) == (2, 0)


def test_rejected_entries_are_kept(tracked: Tracked, caplog) -> None:
    tracked.line.cut = True
    for value in (1, 2):
        tracking.log_params({"p": value})
    tracking.log_metrics({"loss": 1.0}, step=1)
    tracking.end_run("FINISHED")
    assert tracking.send_outbox(tracked.folder) == (4, 0)
    assert tracked.steps() == [1]
    assert "MLflow rejected an entry" in caplog.text
    refused = json.loads(next(tracked.folder.glob("*/refused.jsonl")).read_text())
    assert refused["params"] == {"p": "2"}


def test_a_file_that_is_too_large_for_the_server_blocks_no_other_entries(tracked: Tracked, tmp_path: Path) -> None:
    tracked.line.cut = True
    (tmp_path / "large").write_text("x")
    tracking.log_file(tmp_path / "large")
    tracking.log_metrics({"loss": 1.0}, step=1)
    tracked.line.cut = False
    tracked.line.log_artifact = reject
    assert tracking.end_run("FINISHED") == 0
    assert tracked.steps() == [1]
    (refused,) = tracked.folder.glob("*/refused.jsonl")
    assert (refused.parent / json.loads(refused.read_text())["file"]).read_text() == "x"


def test_a_file_that_is_too_large_for_the_server_does_not_end_the_run(tracked: Tracked, tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x")
    tracked.line.log_artifact = reject
    tracking.log_file(tmp_path / "large")
    tracking.log_metrics({"loss": 1.0}, step=1)
    assert tracking.end_run("FINISHED") == 0
    assert tracked.steps() == [1]
    (refused,) = tracked.folder.glob("*/refused.jsonl")
    assert (refused.parent / json.loads(refused.read_text())["file"]).read_text() == "x"


def test_an_entry_that_always_fails_in_the_server_blocks_no_other_entries(tracked: Tracked) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RestException({"error_code": "INTERNAL_ERROR"})

    tracked.line.log_inputs = fail
    tracking.log_input(DATASET, "labels")
    tracking.log_metrics({"loss": 1.0}, step=1)
    assert tracked.steps() == [1]
    assert tracking.end_run("FINISHED") == 0
    assert len(list(tracked.folder.glob("*/refused.jsonl"))) == 1


def reject(*_: object) -> None:
    raise response_error(413)


def test_an_entry_that_mlflow_rejects_at_once_raises_an_error(tracked: Tracked) -> None:
    tracking.log_params({"p": 1})
    with pytest.raises(MlflowException, match="p"):
        tracking.log_params({"p": 2})


def test_an_offline_run_and_its_children_are_created_when_they_are_sent(tracked: Tracked, tmp_path: Path) -> None:
    outbox, _ = tracked.new_outbox(offline=True)
    creation = {"artifact_location": str(tmp_path / "elsewhere"), "tags": {"kind": "x"}}
    tracking.begin_run(outbox, tracking.start_offline_run(outbox, f"new {tmp_path}", creation, "a run", {"a": "1"}))
    with tracking.child_run("a child", {"b": "2"}):
        tracking.log_metrics({"loss": 0.5}, step=1)
    tracking.log_metrics({"loss": 0.25}, step=1)
    assert tracking.current_run().startswith("local-")
    with pytest.raises(ConnectionError), tracking.activate_run():
        pass
    waiting = tracking.end_run("FINISHED")
    (path,) = tracked.left()
    EntryQueue(path).send(Server(tracked.client))
    (path / "told").unlink()
    assert tracking.send_outbox(tracked.folder) == (waiting, 0)

    experiment = tracked.client.get_experiment_by_name(f"new {tmp_path}")
    assert experiment.tags["kind"] == "x"
    runs = {run.info.run_name: run for run in tracked.client.search_runs([experiment.experiment_id])}
    assert len(runs) == 2
    assert runs["a child"].data.tags["mlflow.parentRunId"] == runs["a run"].info.run_id
    assert {name: run.data.metrics["loss"] for name, run in runs.items()} == {"a run": 0.25, "a child": 0.5}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_a_child_run_waits_while_the_store_is_unavailable(tracked: Tracked) -> None:
    tracked.line.cut = True

    def fail() -> None:
        with tracking.child_run("a child", {}):
            tracking.log_metrics({"loss": 0.5}, step=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    tracked.line.cut = False
    tracking.end_run("FAILED")
    (child,) = tracked.client.search_runs([tracked.experiment], "tags.mlflow.runName = 'a child'")
    assert (child.info.status, child.data.metrics["loss"]) == ("FAILED", 0.5)
    assert tracked.steps() == []


def response_error(status: int) -> requests.HTTPError:
    """Return the error that an artifact store raises."""
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "unavailable"),
    [
        (MlflowException("API request failed"), True),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE"}), True),
        (RestException({"error_code": "INTERNAL_ERROR"}), True),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST"}), False),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE"}), False),
        (MlflowException("API request to endpoint x failed with error code 413 != 200. Response body: ''"), False),
        (MlflowException("API request to endpoint x failed with error code 502 != 200. Response body: ''"), True),
        (response_error(403), False),
        (response_error(503), True),
        (response_error(413), False),
        (response_error(404), False),
        (requests.HTTPError(), True),
        (requests.ConnectionError(), True),
        (ConnectionRefusedError(), True),
        (FileNotFoundError(), False),
        (ValueError(), False),
    ],
)
def test_unavailable_is_what_does_not_respond_or_fails(error: Exception, unavailable: bool) -> None:
    assert is_unavailable(error) == unavailable


def test_without_a_run_nothing_is_logged(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Server, "send", lambda *_: pytest.fail("told"))
    log_all(tmp_path, range(1, 3))
    with tracking.child_run("c", {}):
        tracking.log_metrics({"loss": 1.0})
    assert tracking.current_run() is None
    assert tracking.end_run("FINISHED") == 0


@pytest.mark.parametrize(
    ("error", "denied"),
    [
        (RestException({"error_code": "UNAUTHENTICATED"}), True),
        (RestException({"error_code": "PERMISSION_DENIED"}), True),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE"}), False),
        (MlflowException("API request to endpoint x failed with error code 401 != 200. Response body: ''"), True),
        (response_error(403), True),
        (response_error(413), False),
        (ValueError(), False),
    ],
)
def test_an_entry_that_is_denied_waits(tracked: Tracked, error: Exception, denied: bool) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    assert is_denied(error) == denied
    if denied:
        tracked.line.log_inputs = fail
        tracking.log_input(DATASET, "labels")
        del tracked.line.log_inputs
        assert tracking.end_run("FINISHED") == 0
        assert [found.dataset.digest for found in tracked.client.get_run(tracked.run).inputs.dataset_inputs] == ["1"]
