import json

import pytest
from factories import parameters

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import TrainingParams, TuneParams, validate_parameters
from goodbad_pipeline.params.tuning import RangeParams, read_value, with_values


def tune(**changes: object) -> TuneParams:
    typed = validate_parameters(parameters(**{f"tune__{name}": value for name, value in changes.items()}))["tune"]
    assert isinstance(typed, TuneParams)
    return typed


@pytest.fixture
def training() -> TrainingParams:
    typed = validate_parameters(parameters())["training"]
    assert isinstance(typed, TrainingParams)
    return typed


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training": {"rate": [1]}}, "tune.space: training.rate is nothing to search; there are training.batch_size"),
        ({"training": {"seed": [1]}}, "training.seed is nothing to search"),
        ({"model": {"phi": [1]}}, "model.phi is nothing to search"),
        ({"training": {"augmentation": [1]}}, "training.augmentation is nothing to search"),
        ({"training": {"label_smoothing": {"low": 0.0, "high": 2.0}}}, "training.label_smoothing: 2.0: .*less than 1"),
        ({"training": {"optimizer": ["adam"]}}, "training.optimizer: 'adam': Input should be 'adamw'"),
        ({"training": {"warmup": {"low": 0.2, "high": 0.1}}}, "training.warmup: low must be below high, got 0.2 and"),
        ({"training": {"ema": {"low": 0, "high": 1, "log": True}}}, "training.ema: low must be above 0 where log is"),
        ({"training": {"ema": {"low": 0, "hi": 1}}}, "training.ema.high: Field required"),
        ({"training": {"ema": "auto"}}, "training.ema: auto is for training.learning_rate and"),
        ({"training": {"ema": []}}, "training.ema: a list must hold a value"),
        ({"training": {"ema": None}}, "nothing is searched"),
    ],
)
def test_a_space_that_makes_no_sense_is_one_line_before_anything_starts(space: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        tune(space=space)
    assert "\n" not in str(error.value)


def test_the_default_space_survives_being_recorded() -> None:
    typed = tune()
    assert TuneParams.model_validate(json.loads(typed.model_dump_json())) == typed
    assert typed.space["training.augmentation.zoom"] == RangeParams(low=0.0, high=0.6)


def test_each_network_searches_what_its_training_reads() -> None:
    pretrained, scratch = tune().used(pretrained=True), tune().used(pretrained=False)
    assert "training.learning_rate" in pretrained
    assert "training.scratch_learning_rate" not in pretrained
    assert set(pretrained) ^ set(scratch) == {"training.learning_rate", "training.scratch_learning_rate"}


def test_values_are_set_by_dotted_name_and_held_to_the_rules(training: TrainingParams) -> None:
    changed = with_values(training, {"training.augmentation.zoom": 0.1, "training.epochs": 7, "model.dropout": 0.4})
    assert (changed.augmentation.zoom, changed.epochs) == (0.1, 7)
    assert read_value("training.augmentation.zoom", changed) == 0.1
    assert changed.model_dump(exclude={"augmentation", "epochs"}) == training.model_dump(
        exclude={"augmentation", "epochs"}
    )
    assert changed.augmentation.rotation == training.augmentation.rotation
    with pytest.raises(ValueError, match="less than 1"):
        with_values(training, {"training.label_smoothing": 1.0})
