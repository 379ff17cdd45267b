import math
from pathlib import Path

import pytest
from factories import parameters
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks import tracking
from goodbad_pipeline.params import (
    ImageParams,
    ModelParams,
    TrainingParams,
    anchor_paths,
    decisive_parameters,
    rename_parameters,
    validate_parameters,
)


def test_a_preset_fills_only_null_values() -> None:
    training = validate_parameters(parameters(training__preset="quick", training__head_epochs=1))["training"]
    assert isinstance(training, TrainingParams)
    assert (training.head_epochs, training.epochs) == (1, 2)
    assert "presets" not in training.model_dump()


def test_learning_rates_scale_from_256_images_to_the_batch() -> None:
    for batch_size, share in ((256, 1), (32, 1 / 8)):
        training = validate_parameters(parameters(training__batch_size=batch_size))["training"]
        assert isinstance(training, TrainingParams)
        recipe = training.recipe(jit_compile=False)
        assert recipe.learning_rate == pytest.approx(training.learning_rate * share)
        assert recipe.head_learning_rate == pytest.approx(training.head_learning_rate * share)
        assert recipe.scratch_learning_rate == pytest.approx(training.scratch_learning_rate * share)
        assert recipe.decay_rate == training.decay_rate


def test_only_decisive_parameters_identify_a_training() -> None:
    def decisive(**changes: object) -> dict:
        typed = validate_parameters(parameters(**changes))
        model, training, images = typed["model"], typed["training"], typed["images"]
        assert isinstance(model, ModelParams)
        assert isinstance(training, TrainingParams)
        assert isinstance(images, ImageParams)
        return decisive_parameters(model, training, images)

    for changes in ({"training__seed": 1}, {"training__ema": 1}, {"model__dropout": 0.5}, {"images__resize": "crop"}):
        assert decisive(**changes) != decisive()
    same = {"training__checkpoint__minutes": 1, "images__root": "elsewhere", "evaluation__seed": 9}
    assert decisive(**same) == decisive()
    quick = parameters()["training"]["presets"]["quick"]
    values = {f"training__{name}": value for name, value in quick.items()}
    assert decisive(training__preset="quick") == decisive(**values)


def test_explicit_epochs_apply_from_scratch_too() -> None:
    training = validate_parameters(parameters(training__epochs=3))["training"]
    assert isinstance(training, TrainingParams)
    assert (training.epochs, training.scratch_epochs) == (3, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle__phi": 1}, "modle: unknown parameter group"),
        ({"model__fi": 1}, "model.fi: unknown parameter; use one of family, phi"),
        ({"images__columns__name": "x"}, "images.columns.name: unknown parameter; use one of path, label"),
        ({"training__epoch": 1}, r"training.epoch: unknown parameter; .*; did you mean epochs\?$"),
        ({"model__phi": "big"}, "model.phi: .*valid number.*got 'big'"),
        ({"model__budget": {"max_macs": 1e9}}, "phi and variant must be null if budget is set"),
        ({"model__budget": {"max_macs": -1}, "model__phi": None}, "model.budget.max_macs: .*greater than 0.*got -1"),
        ({"model__budget": {"max_flops": 1}}, "model.budget.max_flops: unknown parameter; use one of max_macs"),
        (
            {"model__budget": {"max_ms_per_image": 9}, "model__phi": None, "training__distributed": True},
            "model.budget.max_ms_per_image: must be null with training.distributed=true, .* got 9; find phi",
        ),
        ({"model__grow_from": "imagenet", "model__weights": "imagenet"}, "weights must be auto or none if grow_from"),
        ({"model__coefficients__gamma": 0.5}, "model.coefficients.gamma: .*greater than or equal to 1.*got 0.5"),
        ({"splits__fractions__test": 0.5}, "splits.fractions: train \\+ validation \\+ test must be 1, got 1.35"),
        ({"splits__method": "magic"}, "splits.method: .*'stratified' or 'stable'"),
        ({"splits__folds": 2}, "splits.folds: .*greater than or equal to 3"),
        ({"splits__folds": 5, "splits__fold": 5}, r"fold counts from 0 and must be less than folds \(5\), got 5"),
        ({"splits__fold": 1}, "must be less than folds .None., got 1"),
        ({"images__cache_gb": -1}, "images.cache_gb: .*greater than or equal to 0"),
        ({"training__preset": "turbo"}, "preset must be one of quick, standard, thorough, got 'turbo'"),
        ({"training__batch_size": 0}, "training.batch_size: .*got 0"),
        ({"training__seed": -1}, "training.seed"),
        ({"images__layout": "piles"}, "images.layout: .*'folders'"),
        ({"images__background": [0, 0, 300]}, "images.background.2: .*got 300"),
        ({"training__monitor": "luck"}, "training.monitor: .*'val_roc_auc'.*got 'luck'"),
        ({"training__optimizer": "adam"}, "training.optimizer: .*'rmsprop'.*got 'adam'"),
        ({"training__schedule": "steps"}, "training.schedule: .*'exponential'.*got 'steps'"),
        ({"training__layer_decay": 0}, "training.layer_decay: .*got 0"),
        ({"training__checkpoint__keep": 0}, "training.checkpoint.keep: .*got 0"),
        ({"training__augmentation__cutmix": 2}, "training.augmentation.cutmix: .*got 2"),
        ({"training__presets": 3}, "presets must map names of presets to their parameters, got 3"),
        ({"training__preset": ["a"]}, r"preset must be one of quick, standard, thorough, got \['a'\]"),
        ({"training__epochs": [3]}, r"^training.epochs: .*valid integer.*got \[3\]$"),
        ({"training__epochs": math.inf}, "^training.epochs: .*got inf$"),
        ({"training__epochs": "abc"}, "^training.epochs: .*valid integer.*got 'abc'$"),
        ({"training__epochs": 0, "training__head_epochs": 0}, "training: head_epochs and epochs must not both be 0"),
        ({"model__resolution": "auto", "model__weights": "none"}, "model: resolution must be a number or null"),
        ({"model__resolution": "auto", "model__grow_from": "imagenet"}, "model: resolution must be a number or null"),
        ({"model__resolution": "auto", "training__distributed": True}, "model.resolution: must be a number or null"),
        ({"training__interpolation": 1.1}, "training.interpolation"),
        ({"training__refit": True, "training__distributed": True}, "training.refit: must be false"),
        ({"training__learning_rate": math.inf}, "training.learning_rate: .*finite number.*got inf"),
        ({"training__loss_limit": math.nan}, "training.loss_limit: .*finite number.*got nan"),
        ({"model__phi": math.inf}, "model.phi: .*finite number.*got inf"),
        ({"model__budget": {"max_macs": math.inf}, "model__phi": None}, "model.budget.max_macs: .*finite number"),
        ({"scaling_search__gamma": [math.inf]}, "scaling_search.gamma.0: .*finite number"),
        ({"registry__metric": "luck"}, "registry.metric"),
        ({"images": "hello"}, "^images: must be a mapping, such as images: {root: …}, got 'hello'$"),
        ({"images": None}, "^images: must be a mapping, such as images: {root: …}, got None$"),
        ({"images__scan": 3}, "^images.scan: must be a mapping, such as images.scan: {engine: …}, got 3$"),
        ({"model__phi": None, "model__budget": 5}, "^model.budget: must be a mapping, .* {max_macs: …}, got 5$"),
        ({"tune__space": [1]}, r"^tune.space: must be a mapping, such as tune.space: {name: …}, got \[1\]$"),
        *(
            ({"registry__name": name}, "registry.name: must be one line .*, for example pets, got")
            for name in ("", " ", "good/bad", "a:b", "a ", "a\nb")
        ),
        ({"images__max_pixels": 178_956_971}, r"images\.max_pixels.*178956970"),
    ],
)
def test_a_wrong_parameter_is_one_line_with_name_rule_and_value(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        validate_parameters(parameters(**changes))
    assert "\n" not in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(InputError, match=r"(?s)splits\.seed.*training\.batch_size"):
        validate_parameters(parameters(splits__seed=-1, training__batch_size=0))


def test_former_names_work_and_warn(caplog) -> None:
    raw = parameters(training__shares=4, export__calibration_pictures=7)
    typed = validate_parameters(rename_parameters(raw))
    assert (typed["training"].data_shards, typed["export"].calibration_images) == (4, 7)
    assert {record.getMessage() for record in caplog.records} == {
        "training.shares was renamed to training.data_shards; use the new name",
        "export.calibration_pictures was renamed to export.calibration_images; use the new name",
    }
    assert "data_shards" in raw["training"], "the input does not change"


@pytest.mark.parametrize("space", [{"training": {"shares": [1, 4]}}, {"training.shares": [1, 4]}])
def test_former_names_work_and_warn_in_a_search_space(space: dict, caplog) -> None:
    typed = validate_parameters(rename_parameters(parameters(tune__space=space)))
    assert typed["tune"].space == {"training.data_shards": [1, 4]}
    (record,) = caplog.records
    assert record.getMessage() == (
        "tune.space.training.shares was renamed to tune.space.training.data_shards; use the new name"
    )


def test_former_names_work_on_the_command_line_and_in_recorded_runs(project: Path, caplog, monkeypatch) -> None:
    monkeypatch.chdir(project)
    bootstrap_project(project)

    def data_shards(**runtime: dict) -> int:
        with KedroSession.create(project, runtime_params=runtime) as session:
            return session.load_context().config_loader["parameters"]["training"]["data_shards"]

    assert data_shards(training={"shares": 4}) == 4
    assert caplog.text.count("training.shares was renamed to training.data_shards") == 1
    recorded = validate_parameters(parameters())["training"].model_dump(mode="json", exclude={"data_shards"})
    monkeypatch.setattr(tracking, "read_replay_parameters", lambda _: {"training": {**recorded, "shares": 2}})
    assert data_shards(replay={"run_id": "r"}) == 2


def test_relative_paths_start_at_the_project() -> None:
    anchored = anchor_paths(parameters(images__root="images", model__weights="w.h5"), Path("/p"))
    assert anchored["images"]["root"] == "/p/images"
    assert anchored["model"]["weights"] == "/p/w.h5"
    assert anchor_paths(parameters(images__root="/abs"), Path("/p"))["images"]["root"] == "/abs"
    assert anchor_paths(parameters(), Path("/p"))["model"]["weights"] == "auto"
    grown = anchor_paths(parameters(model__grow_from="old/m.keras"), Path("/p"))
    assert grown["model"]["grow_from"] == "/p/old/m.keras"
    several = anchor_paths(parameters(predict__source=["a.png", "https://host/b.png"]), Path("/p"))
    assert several["predict"]["source"] == ["/p/a.png", "https://host/b.png"]
    for word in ("imagenet", "goodbad/3", 3):
        assert anchor_paths(parameters(model__grow_from=word), Path("/p"))["model"]["grow_from"] == word


def test_the_corrections_file_beside_the_root_is_used_if_it_exists(tmp_path: Path) -> None:
    def corrections(**changes: object) -> str | None:
        return anchor_paths(parameters(images__root="pets", **changes), tmp_path)["images"]["corrections"]

    assert corrections() is None
    (tmp_path / "pets.corrections.csv").touch()
    assert corrections() == str(tmp_path / "pets.corrections.csv")
    assert corrections(images__corrections="own.csv") == str(tmp_path / "own.csv")


def test_several_images_may_be_given_with_commas(tmp_path: Path) -> None:
    def source(value: str) -> object:
        return anchor_paths(parameters(predict__source=value), tmp_path)["predict"]["source"]

    assert source("a.jpg, /b.jpg") == [f"{tmp_path}/a.jpg", "/b.jpg"]
    assert source("https://host/a,b.jpg") == "https://host/a,b.jpg"
    (tmp_path / "a,b.jpg").touch()
    assert source("a,b.jpg") == f"{tmp_path}/a,b.jpg"
