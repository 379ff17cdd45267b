import pytest
from factories import parameters

from goodbad_pipeline.experiments.search_space import read_value, searched_parameters, with_values
from goodbad_pipeline.params import TrainingParams, TuneParams, validate_parameters


@pytest.fixture
def training() -> TrainingParams:
    typed = validate_parameters(parameters())["training"]
    assert isinstance(typed, TrainingParams)
    return typed


def test_each_network_searches_parameters_that_its_training_uses() -> None:
    tune = validate_parameters(parameters())["tune"]
    assert isinstance(tune, TuneParams)
    pretrained, scratch = (searched_parameters(tune, pretrained=known) for known in (True, False))
    assert "training.learning_rate" in pretrained
    assert "training.scratch_learning_rate" not in pretrained
    assert set(pretrained) ^ set(scratch) == {"training.learning_rate", "training.scratch_learning_rate"}


def test_values_are_set_by_dotted_name_and_validated(training: TrainingParams) -> None:
    changed = with_values(training, {"training.augmentation.zoom": 0.1, "training.epochs": 7, "model.dropout": 0.4})
    assert (changed.augmentation.zoom, changed.epochs) == (0.1, 7)
    assert read_value("training.augmentation.zoom", changed) == 0.1
    assert changed.model_dump(exclude={"augmentation", "epochs"}) == training.model_dump(
        exclude={"augmentation", "epochs"}
    )
    assert changed.augmentation.rotation == training.augmentation.rotation
    with pytest.raises(ValueError, match="less than 1"):
        with_values(training, {"training.label_smoothing": 1.0})
