"""Training on small images with a network of two layers that have the names training uses."""

from dataclasses import replace
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tiny_training import part, tiny_network, tiny_pixels, tiny_recipe

from goodbad_pipeline.datasets import EpochLogDataset
from goodbad_pipeline.evaluation.metrics import validation_metrics
from goodbad_pipeline.images.labelled_pixels import LabelledPixels
from goodbad_pipeline.training import train as training
from goodbad_pipeline.training.batches import predict
from goodbad_pipeline.training.distributed import SINGLE_PROCESS
from goodbad_pipeline.training.progress import HISTORY_COLUMNS
from goodbad_pipeline.training.recipe import Augmentation, Recipe
from goodbad_pipeline.training.train import _Training, fit_model

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return tiny_pixels()


def _training(train: LabelledPixels, recipe: Recipe) -> _Training:
    return _Training(tiny_network(), train, train, recipe, SINGLE_PROCESS, pretrained=False, compiled=False)


def test_training_from_scratch_learns_and_reports_every_epoch(pixels: np.ndarray) -> None:
    heard: list[int] = []
    model = tiny_network()
    history = fit_model(
        model,
        part(pixels, 0, 40),
        part(pixels, 40, 48),
        tiny_recipe(),
        pretrained=False,
        epoch_callback=lambda row: heard.append(row["epoch"]),
    ).history
    assert list(history.columns) == HISTORY_COLUMNS
    assert heard == history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(history["phase"]) == {"scratch"}
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_the_weights_kept_are_those_of_the_best_validation_loss(pixels: np.ndarray) -> None:
    model = tiny_network()
    validation = part(pixels, 40, 48)
    history = fit_model(model, part(pixels, 0, 40), validation, tiny_recipe(), pretrained=False).history
    probabilities = predict(model, validation.pixels, validation.rows)
    loss = -np.log(probabilities[np.arange(8), validation.y_true]).mean()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-4)


def test_head_first_then_all_layers_with_frozen_batch_statistics(pixels: np.ndarray) -> None:
    model = tiny_network()
    statistics = model.get_layer("stem_bn").moving_mean.numpy().copy()
    kernel = model.get_layer("stem_conv").kernel.numpy().copy()
    history = fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), tiny_recipe(), pretrained=True).history
    assert history["phase"].tolist() == ["head", "head", "all layers", "all layers"]
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(model.get_layer("stem_bn").moving_mean.numpy(), statistics)
    assert not np.array_equal(model.get_layer("stem_conv").kernel.numpy(), kernel)


def test_the_network_traces_one_graph_of_predictions_for_both_phases_and_all_splits(pixels, monkeypatch) -> None:
    tf.config.run_functions_eagerly(False)
    convolution, traced = keras.layers.Conv2D.call, []

    def call(layer: keras.layers.Layer, inputs: object) -> object:
        traced.append(tf.inside_function())
        return convolution(layer, inputs)

    monkeypatch.setattr(keras.layers.Conv2D, "call", call)
    model = tiny_network()
    traced.clear()
    fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), tiny_recipe(), pretrained=True)
    assert traced.count(True) == 2  # predictions and the train step
    traced.clear()
    for count in (40, 8, 3):
        assert len(predict(model, pixels, np.arange(count))) == count
    assert traced.count(True) == 1


def test_mlflow_has_one_curve_over_both_phases(pixels: np.ndarray, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("training")
    with mlflow.start_run() as run:
        history = fit_model(
            tiny_network(),
            part(pixels, 0, 40),
            part(pixels, 40, 48),
            tiny_recipe(),
            pretrained=True,
            epoch_callback=EpochLogDataset().load(),
        ).history
    assert history["phase"].tolist() == ["head", "head", "all layers", "all layers"]
    for name in ("loss", "val_loss", "val_accuracy", "learning_rate"):
        logged = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
        assert [(metric.step, metric.value) for metric in logged] == list(enumerate(history[name], start=1))


def test_training_the_head_does_not_change_the_backbone(pixels: np.ndarray) -> None:
    model = tiny_network()
    before = {weight.path: weight.numpy() for weight in model.weights}
    fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), tiny_recipe(epochs=0), pretrained=True)
    changed = {weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}


def test_the_head_predicts_equally_on_features_and_in_the_model(pixels: np.ndarray) -> None:
    model = tiny_network()
    validation = part(pixels, 40, 48)
    history = fit_model(model, part(pixels, 0, 40), validation, tiny_recipe(epochs=0), pretrained=True).history
    probabilities = predict(model, validation.pixels, validation.rows)
    loss = -np.log(probabilities[np.arange(8), validation.y_true]).mean()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-3)


def test_the_head_starts_from_the_weights_of_the_network(pixels: np.ndarray) -> None:
    model = tiny_network()
    before = model.get_layer("predictions").kernel.numpy()
    recipe = tiny_recipe(epochs=0, head_learning_rate=1e-12)
    fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), recipe, pretrained=True)
    np.testing.assert_allclose(model.get_layer("predictions").kernel.numpy(), before, atol=1e-9)
    assert before.any()


def test_the_same_seed_gives_the_same_weights(pixels: np.ndarray) -> None:
    results = []
    for _ in range(2):
        model = tiny_network()
        fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), tiny_recipe(scratch_epochs=2), pretrained=False)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_early_stopping_ends_a_phase(pixels: np.ndarray) -> None:
    hopeless = tiny_recipe(scratch_epochs=6, patience=1, scratch_learning_rate=1e-9)
    history = fit_model(tiny_network(), part(pixels, 0, 40), part(pixels, 40, 48), hopeless, pretrained=False).history
    best = history["val_loss"].idxmin()
    assert len(history) == min(6, max(3, best + 2))  # never in the first half
    assert len(history) < 6


def test_the_weights_kept_are_the_averaged_ones_that_were_validated(pixels: np.ndarray) -> None:
    model = tiny_network()
    validation = part(pixels, 40, 48)
    history = fit_model(model, part(pixels, 0, 40), validation, tiny_recipe(ema=1.0), pretrained=True).history
    probabilities = predict(model, validation.pixels, validation.rows)
    loss = -np.log(probabilities[np.arange(8), validation.y_true]).mean()
    assert loss == pytest.approx(history["val_loss"].iloc[2:].min(), rel=1e-4)
    plain = fit_model(tiny_network(), part(pixels, 0, 40), validation, tiny_recipe(), pretrained=True).history
    assert not np.isclose(plain["val_loss"].iloc[-1], history["val_loss"].iloc[-1], rtol=1e-7)
    np.testing.assert_allclose(plain["loss"], history["loss"], rtol=1e-6)


def misled(pixels: np.ndarray) -> LabelledPixels:
    """Return a validation split with wrong labels: its loss rises as the network learns."""
    validation = part(pixels, 40, 48)
    return replace(validation, y_true=1 - validation.y_true)


@pytest.mark.parametrize("ema", [0.0, 1.0])
def test_the_last_epoch_is_kept_if_the_recipe_requires_it(pixels: np.ndarray, ema: float) -> None:
    validation = misled(pixels)

    def train(**changes: object) -> tuple[float, pd.DataFrame]:
        model = tiny_network()
        recipe = tiny_recipe(**changes, ema=ema)
        history = fit_model(model, part(pixels, 0, 40), validation, recipe, pretrained=False).history
        predictions = predict(model, validation.pixels, validation.rows)
        return validation_metrics(validation.y_true, predictions, 0.0)["val_loss"], history

    last, history = train(keep_epoch="last")
    assert history["val_loss"].idxmin() < 5  # otherwise the test proves nothing
    assert history.loc[history["kept"], "epoch"].tolist() == [6]
    assert last == pytest.approx(history["val_loss"].iloc[-1], rel=1e-4)
    best, history = train(keep_epoch="best")
    assert history.loc[history["kept"], "epoch"].tolist() == [history["val_loss"].idxmin() + 1]
    assert best == pytest.approx(history["val_loss"].min(), rel=1e-4)


def test_early_stopping_keeps_the_best_epoch(pixels: np.ndarray) -> None:
    recipe = tiny_recipe(keep_epoch="last", patience=1)
    history = fit_model(tiny_network(), part(pixels, 0, 40), misled(pixels), recipe, pretrained=False).history
    assert len(history) < 6
    assert history.loc[history["kept"], "epoch"].tolist() == [history["val_loss"].idxmin() + 1]


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_roc_auc", "val_log_loss"])
def test_the_best_epoch_is_that_of_the_monitored_metric(pixels: np.ndarray, monitor: str) -> None:
    model = tiny_network()
    validation = part(pixels, 40, 48)
    tiny = tiny_recipe(monitor=monitor, label_smoothing=0.1)
    history = fit_model(model, part(pixels, 0, 40), validation, tiny, pretrained=False).history
    best = history[monitor].idxmin() if monitor == "val_log_loss" else history[monitor].idxmax()
    kept = validation_metrics(validation.y_true, predict(model, validation.pixels, validation.rows), 0.1)
    assert kept["val_loss"] == pytest.approx(history["val_loss"][best], rel=1e-5)


@pytest.mark.parametrize(("frozen", "pretrained"), [(True, False), (False, True)])
def test_batch_statistics_are_frozen_by_the_recipe(pixels: np.ndarray, frozen: bool, pretrained: bool) -> None:
    model = tiny_network()
    before = model.get_layer("stem_bn").moving_mean.numpy().copy()
    tiny = tiny_recipe(freeze_statistics=frozen, scratch_epochs=1, epochs=1, head_epochs=0)
    fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), tiny, pretrained=pretrained)
    assert np.array_equal(model.get_layer("stem_bn").moving_mean.numpy(), before) is frozen


@pytest.mark.parametrize(("class_weights", "limit"), [(False, 8.69), (True, 8.69 * 50)])
def test_the_loss_limit_scales_with_class_weights(class_weights: bool, limit: float) -> None:
    rare = LabelledPixels(np.empty(0), np.arange(100), np.array([1] + [0] * 99), classes=2, groups=np.arange(100))
    rules = _training(rare, tiny_recipe(class_weights=class_weights, loss_limit=8)).rules()
    assert rules.loss_limit == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize(("class_weights", "shares"), [(False, (7 / 8, 1 / 8)), (True, (1 / 2, 1 / 2))])
def test_class_weights_give_the_rare_class_equal_weight(pixels: np.ndarray, class_weights: bool, shares: tuple) -> None:
    """The network predicts the same for every image and hardly learns: its loss is a mean over classes."""
    model = tiny_network()
    classifier = model.get_layer("predictions")
    classifier.set_weights([np.zeros(classifier.kernel.shape), np.array([2.0, 0.0])])
    rows = np.array([*range(0, 42, 2), 1, 3, 5])
    rare = LabelledPixels(pixels, rows, rows % 2, 2, rows)
    tiny = tiny_recipe(class_weights=class_weights, scratch_epochs=1, batch_size=len(rows), scratch_learning_rate=1e-12)
    history = fit_model(model, rare, rare, tiny, pretrained=False).history
    of_class = -np.log(np.exp([2, 0]) / np.exp([2, 0]).sum())
    assert history["loss"][0] == pytest.approx(np.dot(shares, of_class), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "augmented", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"data_shards": 2}, True, False),
        ({"augmentation": Augmentation(mixup=0.2)}, True, False),
    ],
)
def test_one_gpu_augments_batches_that_need_no_host(monkeypatch, pixels, changes, augmented, expected) -> None:
    monkeypatch.setattr(training, "count_gpus", lambda: 1)
    train = part(pixels, 0, 40)
    recipe = tiny_recipe(**{"augmentation": Augmentation(flip=True), **changes})
    made = _training(train, recipe).batches(train.pixels, train.rows, augmented=augmented)
    assert keras.ops.is_tensor(made[0][0]) is expected


LOGISTIC = {"head": "logistic", "interpolation": "auto"}


def test_the_logistic_head_takes_one_epoch_and_leaves_the_backbone(pixels: np.ndarray) -> None:
    model, validation = tiny_network(), part(pixels, 40, 48)
    before = {weight.path: weight.numpy() for weight in model.weights}
    heard: list[dict] = []
    fitted = fit_model(
        model,
        part(pixels, 0, 40),
        validation,
        tiny_recipe(epochs=0, **LOGISTIC),
        pretrained=True,
        epoch_callback=heard.append,
    )
    changed = {weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}
    assert fitted.candidates.empty
    (row,) = fitted.history.to_dict("records")
    assert (row["epoch"], row["phase"], row["kept"]) == (1, "head", True)
    assert row["accuracy"] == 1
    probabilities = predict(model, validation.pixels, validation.rows)
    assert row["val_log_loss"] == pytest.approx(
        validation_metrics(validation.y_true, probabilities, 0.0)["val_log_loss"], rel=1e-4
    )
    assert [one["phase"] for one in heard] == ["head"]


def fit_with_choice(pixels: np.ndarray, **changes: object) -> tuple[keras.Model, training.Fitted]:
    model = tiny_network()
    recipe = tiny_recipe(**LOGISTIC | {"learning_rate": 1e-2} | changes)
    return model, fit_model(model, part(pixels, 0, 40), part(pixels, 40, 48), recipe, pretrained=True)


def test_the_chosen_weights_are_between_the_frozen_and_the_fine_tuned_network(pixels: np.ndarray) -> None:
    model, fitted = fit_with_choice(pixels)
    assert fitted.history["phase"].tolist() == ["head", "all layers", "all layers"]
    table, validation = fitted.candidates, part(pixels, 40, 48)
    assert table["factor"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    frozen = fitted.history["val_log_loss"][0]
    assert table["log_loss"][0] == pytest.approx(frozen, rel=1e-4)
    probabilities = predict(model, validation.pixels, validation.rows)
    kept = table.loc[table["chosen"], "log_loss"].iloc[0]
    assert validation_metrics(validation.y_true, probabilities, 0.0)["val_log_loss"] == pytest.approx(kept, rel=1e-4)
    for factor in (0.0, 1.0):
        same, one = fit_with_choice(pixels, interpolation=factor)
        loss = validation_metrics(validation.y_true, predict(same, validation.pixels, validation.rows), 0.0)
        expected = table.loc[table["factor"] == factor, "log_loss"].iloc[0]
        assert loss["val_log_loss"] == pytest.approx(expected, rel=1e-4)
        assert len(one.candidates) == (0 if factor == 1 else 1)


@pytest.mark.parametrize(("pretrained", "changes"), [(False, {}), (True, {"head_epochs": 0})])
def test_without_a_frozen_network_nothing_is_chosen(pixels: np.ndarray, pretrained: bool, changes: dict) -> None:
    recipe = tiny_recipe(**LOGISTIC | changes)
    fitted = fit_model(tiny_network(), part(pixels, 0, 40), part(pixels, 40, 48), recipe, pretrained=pretrained)
    assert fitted.candidates.empty
    assert "head" not in set(fitted.history["phase"])


def test_head_epochs_can_be_followed_by_a_choice(pixels: np.ndarray) -> None:
    _, fitted = fit_with_choice(pixels, head="epochs")
    assert fitted.history["phase"].tolist() == ["head", "head", "all layers", "all layers"]
    assert fitted.candidates["log_loss"][0] == pytest.approx(fitted.history["val_log_loss"].iloc[:2].min(), rel=1e-4)
