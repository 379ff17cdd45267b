"""Signals, and MLflow runs that are killed and resumed: the real pipeline with a network of one convolution."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
from cli_runner import kedro_run, runs, store

from goodbad_pipeline import tracking
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks import signals
from goodbad_pipeline.hooks.signals import StopHooks
from goodbad_pipeline.settings import HOOKS
from goodbad_pipeline.training.stopping import Stopped


@pytest.fixture
def hooks():
    """Hooks that listen until the test ends."""
    listening = StopHooks()
    before = signal.getsignal(signal.SIGTERM)
    listening.before_pipeline_run()
    yield listening
    listening.after_pipeline_run()
    assert signal.getsignal(signal.SIGTERM) == before
    assert not listening.stop_request.is_set()


def eventually(happens: Callable[[], object]) -> bool:
    """Wait some seconds for a condition, because another thread receives the signals."""
    end = time.monotonic() + 20
    while not happens() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(happens())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_requests_a_stop_and_no_further_node_starts(hooks: StopHooks, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    assert eventually(hooks.stop_request.is_set)
    assert hooks.stop_request.reason == number.name
    with pytest.raises(Stopped, match=f"stopped by {number.name} between two nodes"):
        hooks.before_node_run()


@pytest.fixture
def exits(monkeypatch) -> list[int]:
    statuses: list[int] = []
    monkeypatch.setattr(signals.os, "_exit", statuses.append)
    return statuses


def test_a_second_signal_exits_at_once(hooks: StopHooks, exits: list[int]) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    assert eventually(lambda: hooks._timer)
    assert not exits
    first = hooks._timer
    os.kill(os.getpid(), signal.SIGINT)
    assert eventually(lambda: exits)
    assert exits == [130]
    assert hooks._timer is first  # cancelled at the end of the run


def test_a_step_that_exceeds_the_grace_period_is_ended(hooks: StopHooks, exits: list[int], monkeypatch) -> None:
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    assert eventually(lambda: exits)
    assert exits == [143]


def test_a_process_that_calls_no_handlers_is_ended() -> None:
    """Python calls no handlers during a call that takes minutes, such as the compilation of a graph."""
    code = (
        "import hashlib, os, signal, threading\n"
        "from goodbad_pipeline.hooks import signals\n"
        "signals.GRACE_SECONDS = 0.2\n"
        "signals.StopHooks().before_pipeline_run()\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "hashlib.pbkdf2_hmac('sha256', b'x', b'y', 2**31 - 1)\n"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 143
    assert time.monotonic() - began < 60


def test_handlers_receive_signals_if_an_event_loop_replaced_the_wakeup_descriptor(
    hooks: StopHooks, exits: list[int]
) -> None:
    wire = signal.set_wakeup_fd(-1)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        assert hooks.stop_request.reason == "SIGINT"
        os.kill(os.getpid(), signal.SIGINT)
        assert exits == [130]
    finally:
        signal.set_wakeup_fd(wire)


def test_a_signal_to_a_forked_child_does_not_reach_the_parent(hooks: StopHooks) -> None:
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    time.sleep(0.1)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert not hooks.stop_request.is_set()


def test_a_signal_at_the_end_of_a_run_has_no_later_effect(exits: list[int], monkeypatch) -> None:
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.3)
    listening = StopHooks()
    for _ in range(20):
        listening.before_pipeline_run()
        os.kill(os.getpid(), signal.SIGTERM)
        listening.after_pipeline_run()
    assert not listening.stop_request.is_set()
    time.sleep(1)
    assert not exits


def test_the_exit_does_not_wait_for_a_server_that_hangs(
    hooks: StopHooks, exits: list[int], monkeypatch, tmp_path: Path
) -> None:
    """Its timeout would be a minute. The entry is stored in the outbox."""
    monkeypatch.setattr(signals, "END_RUN_SECONDS", 0.2)
    answered, outbox = threading.Event(), tracking.Outbox(tmp_path, "http://127.0.0.1:9")

    def hang(*_: object) -> None:
        answered.wait(60)
        raise SystemExit  # ends the thread that sends

    outbox.server = SimpleNamespace(send=hang)
    tracking.begin_run(outbox, "a run")
    began = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    assert eventually(hooks.stop_request.is_set)
    os.kill(os.getpid(), signal.SIGTERM)
    assert eventually(lambda: exits)
    waited = time.monotonic() - began
    (entry,) = outbox._queue.pending()
    answered.set()
    assert exits == [143]
    assert waited < 20
    assert (entry["do"], entry["run"], entry["status"]) == ("end", "a run", "KILLED")


def test_a_run_may_be_ended_by_two_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outbox = tracking.Outbox(tmp_path, "http://127.0.0.1:9", offline=True)
    sent = outbox.send

    def send(entry: dict) -> str:
        tracking.leave_run()  # as the other thread does
        return sent(entry)

    monkeypatch.setattr(outbox, "send", send)
    tracking.begin_run(outbox, "a run")
    assert tracking.end_run("KILLED") == 1


def test_the_grace_period_and_the_end_of_the_run_take_at_most_ten_seconds() -> None:
    assert signals.GRACE_SECONDS + signals.END_RUN_SECONDS <= 10


@pytest.mark.long
@pytest.mark.no_cover
def test_a_run_stopped_by_sigterm_is_marked_as_killed_and_resumed(tiny_project: Path, monkeypatch) -> None:
    """With three steps per epoch, step five is in the second epoch."""
    real, done = keras.Model.train_on_batch, []
    stop_request = next(hook for hook in HOOKS if isinstance(hook, StopHooks)).stop_request

    def terminated(self, *data, **options):
        done.append(self)
        if len(done) == 5:
            threading.Timer(0, os.kill, (os.getpid(), signal.SIGTERM)).start()
            assert eventually(stop_request.is_set)
        return real(self, *data, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", terminated)
    with pytest.raises(Stopped, match=r"SIGTERM after step 2 of scratch epoch 2/3"):
        kedro_run(tiny_project, "train")
    killed = runs(tiny_project)[0]
    assert killed.info.status == "KILLED"
    assert len(list(tiny_project.glob("data/06_models/checkpoints/*/0*"))) == 2

    kedro_run(tiny_project, "train")
    finished = runs(tiny_project)
    assert [run.info.run_id for run in finished].count(killed.info.run_id) == 1
    assert len(finished) == 2  # the other one is of the data pipeline
    continued = next(run for run in finished if run.info.run_id == killed.info.run_id)
    assert continued.info.status == "FINISHED"
    for name in ("loss", "val_loss", "learning_rate", "seconds"):
        history = store(tiny_project).get_metric_history(killed.info.run_id, name)
        assert [metric.step for metric in history] == [1, 2, 3]
    assert len(done) == 9
    assert not list(tiny_project.glob("data/06_models/checkpoints/*"))
    assert len(continued.inputs.dataset_inputs) == 1
    assert "stopped" in killed.data.tags
    assert "stopped" not in continued.data.tags


@pytest.mark.long
@pytest.mark.no_cover
def test_a_nan_loss_fails_the_run_and_keeps_the_last_checkpoint(tiny_project: Path, monkeypatch) -> None:
    real, done = keras.Model.train_on_batch, []

    def diverging(self, *data, **options):
        done.append(self)
        measures = real(self, *data, **options)
        return {**measures, "loss": float("nan")} if len(done) == 5 else measures

    monkeypatch.setattr(keras.Model, "train_on_batch", diverging)
    with pytest.raises(InputError, match="step 2 of scratch epoch 2/3") as failure:
        kedro_run(tiny_project, "train")
    (failed, _) = runs(tiny_project)
    assert failed.info.status == "FAILED"
    assert "step 2 of scratch epoch 2/3" in failed.data.tags["failure"]
    (kept,) = tiny_project.glob("data/06_models/checkpoints/*/0*")
    assert str(kept.relative_to(tiny_project)) in str(failure.value)


@pytest.mark.long
@pytest.mark.no_cover
def test_a_run_is_resumed_even_if_another_was_interrupted_later(tiny_project: Path, monkeypatch) -> None:
    real, done = keras.Model.train_on_batch, []

    def failing(self, *data, **options):
        done.append(self)
        if len(done) in (5, 10):
            raise RuntimeError("a bug")
        return real(self, *data, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", failing)
    for seed in (0, 1):
        with pytest.raises(RuntimeError, match="a bug"):
            kedro_run(tiny_project, "train", training__seed=seed)
    second, first = runs(tiny_project)[:2]
    kedro_run(tiny_project, "train", training__seed=0)
    status = {run.info.run_id: run.info.status for run in runs(tiny_project)}
    assert status[first.info.run_id] == "FINISHED"
    assert status[second.info.run_id] == "FAILED"
    assert len(status) == 3


@pytest.mark.slow
def test_a_changed_parameter_starts_a_new_run_with_all_epochs(tiny_project: Path, monkeypatch, caplog) -> None:
    """A recorded parameter differs but training is resumed: the new run also gets the earlier epochs."""
    real, done = keras.Model.train_on_batch, []

    def failing(self, *data, **options):
        done.append(self)
        if len(done) == 6:
            raise RuntimeError("a bug")
        return real(self, *data, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        kedro_run(tiny_project, "train")
    kedro_run(tiny_project, "train", evaluation__seed=1)
    newest = runs(tiny_project)[0]
    assert newest.info.status == "FINISHED"
    assert len(runs(tiny_project)) == 3
    assert [metric.step for metric in store(tiny_project).get_metric_history(newest.info.run_id, "loss")] == [1, 2, 3]
    assert len(done) == 6 + 6
