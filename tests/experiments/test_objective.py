"""One trial of a search, with a network of one convolution."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from tiny_training import part, tiny_network, tiny_pixels, tiny_recipe

from goodbad_pipeline.evaluation.metrics import VALIDATION_METRICS, larger_is_better
from goodbad_pipeline.experiments.lr_range_test import RangeTest, run_range_test
from goodbad_pipeline.experiments.objective import train_trial
from goodbad_pipeline.training import train
from goodbad_pipeline.training.batches import predict
from goodbad_pipeline.training.stopping import StopRequest
from goodbad_pipeline.training.train import fit_model

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def parts() -> tuple:
    pixels = tiny_pixels()
    return part(pixels, 0, 40), part(pixels, 40, 48)


def run_trial(
    parts: tuple, should_prune=lambda *_: False, pretrained: bool = True, **recipe: object
) -> dict[str, float]:
    return train_trial(
        tiny_network,
        *parts,
        tiny_recipe(**recipe),
        pretrained=pretrained,
        metric="val_log_loss",
        should_prune=should_prune,
        stop=StopRequest(),
        epoch_callback=lambda *_: None,
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("monitor", [pytest.param("val_loss", marks=pytest.mark.long), "val_roc_auc"])
def test_a_complete_trial_measures_the_epoch_whose_weights_training_keeps(parts: tuple, monitor: str) -> None:
    result = run_trial(parts, monitor=monitor, epochs=3, learning_rate=1e-2)
    history = fit_model(
        tiny_network(), *parts, tiny_recipe(monitor=monitor, epochs=3, learning_rate=1e-2), pretrained=True
    ).history
    last = history[history["phase"] == "all layers"]
    best = last[monitor].idxmax() if larger_is_better(monitor) else last[monitor].idxmin()
    assert result["complete"] == 1
    assert result["epochs"] == 5
    assert {name: result[name] for name in VALIDATION_METRICS} == {
        name: last.loc[best, name] for name in VALIDATION_METRICS
    }


@pytest.mark.no_cover
def test_a_complete_trial_measures_the_last_epoch_where_training_keeps_that(parts: tuple) -> None:
    train, validation = parts
    misled = replace(validation, y_true=1 - validation.y_true)  # the more is learnt, the worse it gets
    result = run_trial((train, misled), keep_epoch="last", epochs=3, learning_rate=1e-2)
    recipe = tiny_recipe(keep_epoch="last", epochs=3, learning_rate=1e-2)
    history = fit_model(tiny_network(), train, misled, recipe, pretrained=True).history
    assert history["val_loss"].iloc[2:].idxmin() < 4
    assert {name: result[name] for name in VALIDATION_METRICS} == {
        name: history[name].iloc[-1] for name in VALIDATION_METRICS
    }


def test_only_the_last_phase_prunes_a_trial_and_never_after_its_last_epoch(parts: tuple) -> None:
    epochs_checked: list[tuple[int, float]] = []

    def prune(epoch: int, value: float) -> bool:
        epochs_checked.append((epoch, value))
        return epoch == 2

    result = run_trial(parts, prune, epochs=4)
    assert [epoch for epoch, _ in epochs_checked] == [1, 2]
    assert (result["complete"], result["epochs"]) == (0, 4)  # two of the head, two of all layers
    assert result["val_log_loss"] in [value for _, value in epochs_checked]
    epochs_checked.clear()
    assert run_trial(parts, prune, epochs=2)["complete"] == 1
    assert [epoch for epoch, _ in epochs_checked] == [1]


def test_a_diverged_loss_ends_the_trial_and_not_the_search(parts: tuple) -> None:
    result = run_trial(parts, pretrained=False, scratch_learning_rate=1e6, optimizer="sgd", warmup=0.0)
    assert result["complete"] == 0
    assert np.isfinite(list(result.values())).all()


def test_an_error_of_another_kind_is_not_swallowed(parts: tuple) -> None:
    def broken(*_: object) -> bool:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_trial(parts, broken)


@pytest.mark.parametrize("pretrained", [True, False])
def test_the_range_test_raises_the_rate_by_one_factor_a_step(parts: tuple, pretrained: bool, monkeypatch) -> None:
    test = RangeTest(steps=8, low=1e-4, high=1e-1)
    predicted: list[int] = []

    def count(model: keras.Model, pixels: np.ndarray, rows: np.ndarray, **options: object) -> np.ndarray:
        predicted.append(len(rows))
        return predict(model, pixels, rows, **options)

    monkeypatch.setattr(train, "predict", count)
    curve = run_range_test(tiny_network(), *parts, tiny_recipe(epochs=9), test, pretrained=pretrained)
    while_head = 4 if pretrained else 0  # features of train and validation images, validation after two epochs
    assert predicted[while_head:] == [1, 1]  # validation after the two full epochs of the rising rate
    assert curve["learning_rate"].iloc[0] == pytest.approx(1e-4, rel=1e-4)
    factors = curve["learning_rate"].to_numpy()[1:] / curve["learning_rate"].to_numpy()[:-1]
    assert factors == pytest.approx(1000 ** (1 / 8), rel=1e-3)
    assert np.isfinite(curve["loss"]).all()


def test_the_range_test_ends_where_the_loss_has_risen(parts: tuple) -> None:
    keras.utils.set_random_seed(0)
    test = RangeTest(steps=30, low=1e-3, high=1e6)
    curve = run_range_test(tiny_network(), *parts, tiny_recipe(optimizer="sgd"), test, pretrained=False)
    assert 3 < len(curve) < 30


def test_the_range_test_ends_with_a_loss_that_is_not_finite(parts: tuple) -> None:
    test = RangeTest(steps=30, low=1e25, high=1e37)
    curve = run_range_test(tiny_network(), *parts, tiny_recipe(optimizer="sgd"), test, pretrained=False)
    assert 0 < len(curve) < 30
    assert not np.isfinite(curve["loss"].iloc[-1]) or curve["loss"].iloc[-1] > 4 * curve["loss"].min()
