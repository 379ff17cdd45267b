import json

import pytest
from factories import parameters

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import TuneParams, validate_parameters
from goodbad_pipeline.params.experiments import RangeParams


def tune(**changes: object) -> TuneParams:
    typed = validate_parameters(parameters(**{f"tune__{name}": value for name, value in changes.items()}))["tune"]
    assert isinstance(typed, TuneParams)
    return typed


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training": {"rate": [1]}}, "tune.space: training.rate cannot be searched; choose from training.batch_size"),
        ({"training": {"seed": [1]}}, "training.seed cannot be searched"),
        ({"model": {"phi": [1]}}, "model.phi cannot be searched"),
        ({"training": {"augmentation": [1]}}, "training.augmentation cannot be searched"),
        ({"training": {"label_smoothing": {"low": 0.0, "high": 2.0}}}, "training.label_smoothing: 2.0: .*less than 1"),
        ({"training": {"optimizer": ["adam"]}}, "training.optimizer: 'adam': Input should be 'adamw'"),
        ({"training": {"warmup": {"low": 0.2, "high": 0.1}}}, "training.warmup: low must be below high, got 0.2 and"),
        ({"training": {"ema": {"low": 0, "high": 1, "log": True}}}, "training.ema: low must be above 0 with log=true"),
        ({"training": {"ema": {"low": 0, "hi": 1}}}, "training.ema.high: Field required"),
        ({"training": {"ema": "auto"}}, "training.ema: only training.learning_rate and"),
        ({"training": {"ema": []}}, "training.ema: the list must contain at least one value"),
        ({"training": {"ema": None}}, "no parameter is searched"),
    ],
)
def test_an_invalid_space_is_one_line(space: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        tune(space=space)
    assert "\n" not in str(error.value)


def test_the_default_space_is_the_same_after_recording() -> None:
    typed = tune()
    assert TuneParams.model_validate(json.loads(typed.model_dump_json())) == typed
    assert typed.space["training.augmentation.zoom"] == RangeParams(low=0.0, high=0.6)
