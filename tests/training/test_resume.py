"""An interrupted and resumed training ends with the same bits as an uninterrupted one."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from cli_runner import eagerly
from tiny_training import CONFIG, tiny_fit

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training import batches, saving
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.stopping import Stopped, StopRequest

pytestmark = pytest.mark.usefixtures("eager")


class Killed(BaseException):
    """An interruption that no code catches."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[bool, str]:
    """Return the results of uninterrupted trainings, pretrained (two phases) or not."""
    with eagerly():
        return {
            pretrained: tiny_fit(tmp_path_factory.mktemp("whole"), pretrained=pretrained)
            for pretrained in (True, False)
        }


def at_call(patch: pytest.MonkeyPatch, owner: object, name: str, number: int, act: Callable[[], None]) -> None:
    """Run an action after a function's call number 1, 2, ….

    Exceptions of the action propagate, like a kill: no code catches them.
    """
    count, real = itertools.count(1), getattr(owner, name)

    def counted(*arguments, **options):
        result = real(*arguments, **options)
        if next(count) == number:
            act()
        return result

    patch.setattr(owner, name, counted)


def die() -> None:
    raise Killed


def interrupt(folder: Path, owner: object, name: str, number: int, **options: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, owner, name, number, die)
        with pytest.raises(Killed):
            tiny_fit(folder, **options)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("pretrained", "step"), [(True, 5), (True, 10), pytest.param(False, 2, marks=pytest.mark.long)]
)
def test_interrupted_between_checkpoints(whole, tmp_path: Path, pretrained: bool, step: int) -> None:
    interrupt(tmp_path, keras.Model, "train_on_batch", step, pretrained=pretrained)
    assert tiny_fit(tmp_path, pretrained=pretrained) == whole[pretrained]


@pytest.mark.no_cover
@pytest.mark.parametrize("head", ["logistic", "epochs"])
def test_weights_are_chosen_from_the_same_candidates_after_a_resume(tmp_path: Path, head: str) -> None:
    recipe = {"head": head, "interpolation": 0.5}
    interrupt(tmp_path / "cut", keras.Model, "train_on_batch", 4 if head == "logistic" else 10, **recipe)
    assert tiny_fit(tmp_path / "cut", **recipe) == tiny_fit(tmp_path / "whole", **recipe)


def test_a_resumed_training_belongs_to_the_run_that_resumes_it(tmp_path: Path) -> None:
    """Even if it was complete and saves nothing more: otherwise its checkpoints would never be removed."""
    options = {"pretrained": False, "scratch_epochs": 1}
    owned = {name: CheckpointStore(tmp_path, owner=lambda name=name: name) for name in ("first", "second")}
    whole = tiny_fit(tmp_path, checkpoints={"store": owned["first"]}, **options)
    assert owned["first"].last_state()["owner"] == "first"
    assert tiny_fit(tmp_path, checkpoints={"store": owned["second"]}, **options) == whole
    assert owned["second"].last_state()["owner"] == "second"


@pytest.mark.no_cover
def test_interrupted_repeatedly_with_a_checkpoint_after_every_step(whole, tmp_path: Path) -> None:
    every_step = {"checkpoints": {"minutes": 1e-9}}
    for _ in range(4):
        interrupt(tmp_path, keras.Model, "train_on_batch", 3, **every_step)
    assert tiny_fit(tmp_path, **every_step) == whole[True]


@pytest.mark.no_cover
def test_averaged_weights_are_resumed(tmp_path: Path) -> None:
    """The moving average is part of the optimizer's state; that of the best epoch is stored apart from the weights."""
    averaged = {"ema": 0.5, "optimizer": "rmsprop", "layer_decay": 0.8, "class_weights": True, "monitor": "val_roc_auc"}
    interrupt(tmp_path / "cut", keras.Model, "train_on_batch", 11, **averaged)
    assert tiny_fit(tmp_path / "cut", **averaged) == tiny_fit(tmp_path / "whole", **averaged)


@pytest.mark.no_cover
@pytest.mark.parametrize("call", [2, 9])
def test_interrupted_during_a_checkpoint(whole, tmp_path: Path, call: int) -> None:
    """Each save flushes three times before its rename, and once after."""
    interrupt(tmp_path, os, "fsync", call)
    assert tiny_fit(tmp_path) == whole[True]


@pytest.mark.no_cover
@pytest.mark.parametrize(("file", "damage"), [("arrays.npz", "truncate"), ("state.json", "empty")])
def test_training_resumes_from_the_checkpoint_before_a_damaged_one(
    whole, tmp_path: Path, file: str, damage: str, caplog
) -> None:
    interrupt(tmp_path, keras.Model, "train_on_batch", 11)
    newest = sorted(tmp_path.glob("*/0*"))[-1] / file
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2] if damage == "truncate" else b"")
    assert tiny_fit(tmp_path) == whole[True]
    assert "is damaged" in caplog.text
    assert newest.parent.name in caplog.text


@pytest.mark.no_cover
@pytest.mark.parametrize("recipe", [{}, {"ema": 0.5}], ids=["", "averaged"])
def test_a_stop_in_validation_keeps_the_steps_of_the_epoch(tmp_path: Path, recipe: dict) -> None:
    """Validation can take minutes. Features of two splits are computed before, in one block each."""
    options = {"pretrained": True, **recipe}
    stop = StopRequest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "prediction_batch", lambda: 64)
        at_call(patch, keras.Model, "predict_on_batch", 2 + 2 + 1, lambda: stop.set("SIGTERM"))
        where = r"SIGTERM in validation after all layers epoch 1/2; .*are in .*/000000003"
        with pytest.raises(Stopped, match=where):
            tiny_fit(tmp_path / "cut", stop=stop, **options)
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        real = keras.Model.train_on_batch
        patch.setattr(keras.Model, "train_on_batch", lambda *args, **more: (steps.append(1), real(*args, **more))[1])
        again = tiny_fit(tmp_path / "cut", **options)
    assert len(steps) == 3  # of the last epoch
    assert again == tiny_fit(tmp_path / "whole", **options)


def test_a_stop_writes_a_checkpoint_and_reports_its_path(whole, tmp_path: Path, monkeypatch) -> None:
    stop = StopRequest()
    at_call(monkeypatch, keras.Model, "train_on_batch", 5, lambda: stop.set("SIGTERM"))
    with pytest.raises(Stopped, match=r"SIGTERM after step 2 of head epoch 2/2; .*are in .*/000000002"):
        tiny_fit(tmp_path, stop=stop)
    assert tiny_fit(tmp_path) == whole[True]


def test_finished_epochs_are_reported_again_on_resume(tmp_path: Path) -> None:
    interrupt(tmp_path, keras.Model, "train_on_batch", 5)
    heard: list[int] = []
    tiny_fit(tmp_path, epoch_callback=lambda row: heard.append(row["epoch"]))
    assert heard == [1, 2, 3, 4]


def test_another_config_starts_anew_and_logs_why(whole, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    interrupt(tmp_path, keras.Model, "train_on_batch", 7)
    other = {**CONFIG, "parameters": {"training": {"seed": 1}}}
    tiny_fit(tmp_path, checkpoints={"config": other}, epochs=1)
    assert (
        "Not resuming the last training but starting from the beginning: parameters.training.seed was 0, is 1"
        in caplog.text
    )
    assert tiny_fit(tmp_path) == whole[True]
    assert "Resuming after 2 epochs and 6 steps" in caplog.text


def test_other_initial_weights_start_anew(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    interrupt(tmp_path, keras.Model, "train_on_batch", 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "_digest", lambda model: "0" * 64)
        tiny_fit(tmp_path, epochs=1)
    assert "start was" in caplog.text


def test_starting_anew_on_request(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    interrupt(tmp_path, keras.Model, "train_on_batch", 7)
    tiny_fit(tmp_path, checkpoints={"resume": False}, epochs=1)
    assert "Resuming" not in caplog.text
    assert "training.checkpoint.resume is false" in caplog.text


def test_a_nan_loss_ends_the_run_and_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"loss became nan at step \d of scratch epoch [23]/4; .*last good weights are in"
    ):
        spoilt_fit(tmp_path, 5, float("nan"))
    newest = CheckpointStore(tmp_path).last_state()
    assert newest["progress"]["epoch"] == 1


def test_an_exploding_loss_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss exploded to 99 \(above 8.693\) at step 2 of scratch epoch 1/4"):
        spoilt_fit(tmp_path, 2, 99.0)


def spoilt_fit(folder: Path, step: int, loss: float) -> None:
    count, real = itertools.count(1), keras.Model.train_on_batch
    with pytest.MonkeyPatch.context() as patch:

        def spoil(self, *data, **options):
            measures = real(self, *data, **options)
            return {**measures, "loss": loss} if next(count) == step else measures

        patch.setattr(keras.Model, "train_on_batch", spoil)
        tiny_fit(folder, pretrained=False)


def test_diverged_weights_are_never_saved(tmp_path: Path) -> None:
    def spoil() -> None:
        kernel = model_of_the_run[0].get_layer("stem_conv").kernel
        kernel.assign(np.full(kernel.shape, np.inf))

    model_of_the_run: list[keras.Model] = []
    real = keras.Model.train_on_batch
    count = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:

        def watched(self, *data, **options):
            measures = real(self, *data, **options)
            model_of_the_run[:] = [self]
            if next(count) == 5:
                spoil()
            return measures

        patch.setattr(keras.Model, "train_on_batch", watched)
        with pytest.raises(InputError, match="weights are not finite at step 2 of scratch epoch 2/4"):
            tiny_fit(tmp_path, pretrained=False, checkpoints={"minutes": 1e-9})


def test_a_full_disk_names_the_file_and_keeps_earlier_checkpoints(whole, tmp_path: Path) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, keras.Model, "train_on_batch", 7, lambda: patch.setattr(np, "savez", refuse))
        with pytest.raises(InputError, match=r"000000003: cannot be written \(No space left on device\)"):
            tiny_fit(tmp_path)
    assert not list(tmp_path.glob("*/.new-*"))
    assert tiny_fit(tmp_path) == whole[True]
