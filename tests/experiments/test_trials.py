"""Trials with a network of one convolution, which takes milliseconds where an EfficientNet takes a minute."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from factories import encoded, make_image
from kedro.io import DatasetError

from goodbad_pipeline.datasets import PixelCacheDataset, TrialsDataset
from goodbad_pipeline.experiments.trial_spec import DevelopmentData, TrialSpec
from goodbad_pipeline.experiments.trials import (
    TRIAL_COLUMNS,
    TrialNetwork,
    TrialSetup,
    read_networks,
    run_trials,
    trial_spec,
)
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.networks.scaling import resolve_scale
from goodbad_pipeline.training.recipe import Augmentation, Recipe
from goodbad_pipeline.training.stopping import Stopped, StopRequest, TrainingDiverged

RECIPE = Recipe(0, 8, 0, 0, 2, 1e-3, 1e-3, 1e-2, 0.1, 0.01, 0.0, 9, augmentation=Augmentation(flip=True))
BASE = resolve_scale(phi=-4, resolution=32)
NETWORKS = [TrialNetwork(f"w{width}", replace(BASE, width=width), {"width": width}) for width in (0.6, 1.2)]


def tiny(scale, *, classes, batch_norm_momentum, seed) -> keras.Model:
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((scale.resolution, scale.resolution, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = keras.layers.Conv2D(round(8 * scale.width), 5, strides=4)(x)
    x = keras.layers.BatchNormalization(momentum=batch_norm_momentum)(x)
    x = keras.layers.Dropout(0.2, seed=seed)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, keras.layers.Dense(classes, activation="softmax")(x))


pytestmark = pytest.mark.usefixtures("eager")
SETUP = TrialSetup(RECIPE, 0.9, "float32", build=tiny)


@pytest.fixture
def splits(tmp_path: Path) -> pd.DataFrame:
    """24 train images and 12 validation images; the test image does not exist."""
    rows = []
    for number in range(36):
        data = encoded(make_image(number, bright=bool(number % 2)))
        (tmp_path / f"{number}.png").write_bytes(data)
        split = "train" if number < 24 else "validation"
        rows.append((hashlib.sha256(data).hexdigest(), f"{number}.png", "ba" if number % 2 else "go", split))
    rows.append(("f" * 64, "nowhere.png", "ba", "test"))
    return pd.DataFrame(rows, columns=["image_id", "path", "label", "split"]).assign(
        group=lambda table: table["image_id"]
    )


@pytest.fixture
def data(splits: pd.DataFrame, tmp_path: Path) -> DevelopmentData:
    return in_folder(splits, tmp_path)


def in_folder(splits: pd.DataFrame, folder: Path, resize: str = "pad") -> DevelopmentData:
    cache = PixelCacheDataset(filepath=str(folder / "cache")).load()
    return DevelopmentData(splits, folder, lambda side: Transform(side, resize, (255, 255, 255), 10**6), cache)


class Counter:
    """A cache that counts trainings, and stops at a number of them as Ctrl-C would."""

    def __init__(self, folder: Path, stop: int | None = None) -> None:
        self._cache, self.trained, self._stop = TrialsDataset(filepath=str(folder)).load(), 0, stop

    def __call__(self, spec: TrialSpec, train):
        def counted(epoch_callback):
            if self.trained == self._stop:
                raise KeyboardInterrupt
            self.trained += 1
            return train(epoch_callback)

        return self._cache(spec, counted)


def test_one_row_per_trial_measured_on_validation(data: DevelopmentData, tmp_path: Path) -> None:
    trials = run_trials(
        NETWORKS, [0, 1], data, SETUP, TrialsDataset(filepath=str(tmp_path / "t")).load(), StopRequest()
    )
    assert list(trials.columns) == TRIAL_COLUMNS
    assert trials[["network", "seed"]].values.tolist() == [["w0.6", 0], ["w0.6", 1], ["w1.2", 0], ["w1.2", 1]]
    assert set(np.round(trials["val_accuracy"] * 12, 6) % 1) == {0}
    assert (trials["seconds"] > 0).all()
    assert trials["cache_key"].is_unique


@pytest.mark.long
@pytest.mark.no_cover
def test_an_interrupted_run_resumes_after_its_complete_trials(data: DevelopmentData, tmp_path: Path) -> None:
    first = Counter(tmp_path / "t", stop=3)
    with pytest.raises(KeyboardInterrupt):
        run_trials(NETWORKS, [0, 1], data, SETUP, first, StopRequest())
    assert len(list((tmp_path / "t").glob("*.json"))) == 3
    second = Counter(tmp_path / "t")
    resumed = run_trials(NETWORKS, [0, 1], data, SETUP, second, StopRequest())
    assert (first.trained, second.trained) == (3, 1)
    at_once = run_trials(NETWORKS, [0, 1], data, SETUP, Counter(tmp_path / "other"), StopRequest())
    pd.testing.assert_frame_equal(resumed.drop(columns="seconds"), at_once.drop(columns="seconds"))


@pytest.mark.long
@pytest.mark.no_cover
def test_a_seed_gives_the_same_result_first_or_second_on_the_traced_network(
    data: DevelopmentData, tmp_path: Path
) -> None:
    tf.config.run_functions_eagerly(False)
    alone = run_trials(NETWORKS[:1], [1], data, SETUP, Counter(tmp_path / "alone"), StopRequest())
    after = run_trials(NETWORKS[:1], [0, 1], data, SETUP, Counter(tmp_path / "after"), StopRequest())
    results = [table.query("seed == 1").drop(columns="seconds").values.tolist() for table in (alone, after)]
    assert results[0] == results[1]
    assert after["loss"].nunique() == 2


def test_class_weights_change_the_result(splits: pd.DataFrame, tmp_path: Path) -> None:
    rare = in_folder(splits[(splits["label"] == "go") | (splits.index % 3 == 0)], tmp_path)
    weighted_setup = replace(SETUP, recipe=replace(RECIPE, class_weights=True))
    cache = Counter(tmp_path / "t")
    plain, weighted = (
        run_trials(NETWORKS[:1], [0], rare, setup, cache, StopRequest())["loss"][0] for setup in (SETUP, weighted_setup)
    )
    assert cache.trained == 2
    assert plain != pytest.approx(weighted, rel=1e-3)


@pytest.mark.long
@pytest.mark.no_cover
def test_a_stop_request_ends_the_running_trial_and_keeps_complete_ones(data: DevelopmentData, tmp_path: Path) -> None:
    stop = StopRequest()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("trials")
    cache = TrialsDataset(filepath=str(tmp_path / "t")).load()

    def stopping(spec: TrialSpec, train):
        if spec.seed == 1:
            stop.set("SIGTERM")
        return cache(spec, train)

    with mlflow.start_run():
        with pytest.raises(Stopped, match="stopped by SIGTERM after step") as caught:
            run_trials(NETWORKS[:1], [0, 1], data, SETUP, stopping, stop)
        assert caught.value.reason == "SIGTERM"
        with pytest.raises(Stopped, match="after 0 of 1 trials, whose results are stored"):
            run_trials(NETWORKS[:1], [0], data, SETUP, cache, stop)
    assert len(list((tmp_path / "t").glob("*.json"))) == 1
    children = mlflow.search_runs(filter_string="tags.`trial.reused` = 'false'", output_format="list")
    assert {child.info.run_name[-1]: child.info.status for child in children} == {"0": "FINISHED", "1": "KILLED"}


def test_a_diverged_trial_ends_the_run(data: DevelopmentData, tmp_path: Path) -> None:
    setup = replace(SETUP, recipe=replace(RECIPE, optimizer="sgd", scratch_learning_rate=1e30, warmup=0.0))
    with pytest.raises(TrainingDiverged):
        run_trials(NETWORKS[:1], [0], data, setup, Counter(tmp_path / "t"), StopRequest())


def test_networks_that_round_to_the_same_layers_are_trained_once(data: DevelopmentData, tmp_path: Path) -> None:
    twins = [TrialNetwork(f"d{depth}", replace(BASE, depth=depth), {}) for depth in (1.05, 1.1)]
    counter = Counter(tmp_path / "t")
    trials = run_trials(twins, [0], data, SETUP, counter, StopRequest())
    assert counter.trained == 1
    assert len(set(trials["val_loss"])) == 1
    assert len(set(trials["cache_key"])) == 1


def test_networks_are_read_from_a_table_that_was_stored(data: DevelopmentData, tmp_path: Path) -> None:
    scale = replace(BASE, depth=BASE.depth * 1.2**1.7, width=BASE.width * 1.1**1.7, resolution=41, phi=None)
    table = pd.DataFrame([{"network": "n", "depth": scale.depth, "width": scale.width, "resolution": 41, "macs": 5}])
    table.to_csv(tmp_path / "table.csv", index=False)
    (read,) = read_networks(pd.read_csv(tmp_path / "table.csv"), BASE)
    given = TrialNetwork("n", scale, {})
    specs = [trial_spec(network, 0, data, SETUP) for network in (read, given)]
    assert specs[0].cache_key == specs[1].cache_key
    assert read.shown["macs"] == 5


@pytest.mark.no_cover
def test_a_damaged_file_is_trained_again(data: DevelopmentData, tmp_path: Path) -> None:
    run_trials(NETWORKS[:1], [0], data, SETUP, Counter(tmp_path / "t"), StopRequest())
    (file,) = (tmp_path / "t").glob("*.json")
    file.write_text(file.read_text()[:40])
    counter = Counter(tmp_path / "t")
    run_trials(NETWORKS[:1], [0], data, SETUP, counter, StopRequest())
    assert counter.trained == 1
    assert json.loads(file.read_text())["seed"] == 0


def test_everything_that_the_result_depends_on_changes_the_cache_key(splits: pd.DataFrame, tmp_path: Path) -> None:
    def key(network=NETWORKS[0], seed=0, table=splits, setup=SETUP, **options) -> str:
        return trial_spec(network, seed, in_folder(table, tmp_path, **options), setup).cache_key

    moved = splits.assign(split=["validation", *splits["split"][1:]])
    longer = replace(SETUP, recipe=replace(RECIPE, scratch_epochs=3))
    augmented = replace(SETUP, recipe=replace(RECIPE, augmentation=Augmentation(flip=False)))
    changed = [
        key(network=NETWORKS[1]),
        key(network=replace(NETWORKS[0], scale=replace(NETWORKS[0].scale, resolution=33))),
        key(seed=1),
        key(table=moved),
        key(table=splits.iloc[1:]),
        key(table=splits.iloc[::-1]),
        key(setup=longer),
        key(setup=augmented),
        key(setup=replace(SETUP, recipe=replace(RECIPE, class_weights=True))),
        key(setup=replace(SETUP, precision="mixed_bfloat16")),
        key(resize="crop"),
    ]
    assert len({key(), *changed}) == len(changed) + 1
    same = [
        key(network=replace(NETWORKS[0], name="another name")),
        key(table=splits[splits["split"] != "test"]),
        key(table=splits.assign(path="elsewhere")),
        key(setup=replace(SETUP, recipe=replace(RECIPE, patience=1, head_epochs=4))),
    ]
    assert set(same) == {key()}


def test_the_test_split_is_neither_decoded_nor_counted(data: DevelopmentData, tmp_path: Path) -> None:
    train, validation = data.at(16)
    assert (len(train.rows), len(validation.rows)) == (24, 12)
    assert len(train.pixels) == 36
    assert "f" * 64 not in next((tmp_path / "cache").glob("16px-*/image_ids.bin")).read_text()


def test_pixels_are_decoded_once_for_each_resolution(splits: pd.DataFrame, tmp_path: Path, monkeypatch) -> None:
    in_folder(splits, tmp_path).at(16)
    monkeypatch.setattr("goodbad_pipeline.images.pixels.decode_image", None)
    train, _ = in_folder(splits, tmp_path).at(16)
    assert train.pixels.shape == (36, 16, 16, 3)
    with pytest.raises(TypeError):  # of another resolution they are decoded, by what is no function now
        in_folder(splits, tmp_path).at(20)


def test_load_only_datasets_cannot_be_saved(tmp_path: Path) -> None:
    for dataset in (TrialsDataset(filepath=str(tmp_path)), PixelCacheDataset(filepath=str(tmp_path))):
        assert dataset.exists()
        assert str(tmp_path) in str(dataset)
        with pytest.raises(DatasetError, match="load-only"):
            dataset.save(object())


def test_trials_are_children_of_the_run_and_leave_it_active(data: DevelopmentData, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("trials")
    cache = TrialsDataset(filepath=str(tmp_path / "t")).load()
    parents = []
    for _ in range(2):
        with mlflow.start_run() as parent:
            run_trials(NETWORKS[:1], [0, 1], data, SETUP, cache, StopRequest())
            assert mlflow.active_run().info.run_id == parent.info.run_id
            parents.append(parent.info.run_id)
    for parent, reused in zip(parents, ("false", "true"), strict=True):
        children = mlflow.search_runs(filter_string=f"tags.`mlflow.parentRunId` = '{parent}'", output_format="list")
        assert {child.info.run_name for child in children} == {"w0.6, seed 0", "w0.6, seed 1"}
        assert {child.data.tags["trial.reused"] for child in children} == {reused}
        assert all(child.data.params["width"] == "0.6" for child in children)
        assert all("val_accuracy" in child.data.metrics for child in children)
    steps = mlflow.MlflowClient().get_metric_history(
        mlflow.search_runs(filter_string="tags.`trial.reused` = 'false'", output_format="list")[0].info.run_id, "loss"
    )
    assert {1, 2} <= {metric.step for metric in steps}


def test_a_trial_that_fails_is_a_failed_child_and_leaves_no_file(tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("trials")
    cache = TrialsDataset(filepath=str(tmp_path / "t")).load()

    def fail(epoch_callback):
        raise RuntimeError("out of memory")

    with mlflow.start_run() as parent:
        with pytest.raises(RuntimeError, match="out of memory"):
            cache(TrialSpec("n", 0, {}, {"seed": 0}), fail)
        assert mlflow.active_run().info.run_id == parent.info.run_id
    (child,) = mlflow.search_runs(filter_string="tags.`trial.reused` = 'false'", output_format="list")
    assert child.info.status == "FAILED"
    assert not (tmp_path / "t").exists()
