from pathlib import Path

import pytest
from factories import parameters
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.network_factory import (
    build_feature_network,
    check_networks,
    initial_weights,
    network_label,
    network_scale,
    statistics_momentum,
)
from goodbad_pipeline.networks.net2net_source import parse_growth_source
from goodbad_pipeline.networks.pretrained import why_not_imagenet
from goodbad_pipeline.params import Group, ModelParams, TrainingParams, validate_parameters


def checked(**changes: object) -> dict[str, Group]:
    typed = validate_parameters(parameters(**changes))
    check_networks(typed)
    return typed


def test_the_defaults_are_valid_and_start_from_imagenet() -> None:
    typed = checked()
    model = typed["model"]
    assert isinstance(model, ModelParams)
    assert initial_weights(model, network_scale(model)) == "imagenet"
    assert (network_scale(model).family, network_scale(model).resolution) == ("efficientnet_lite", 128)


def test_the_gpu_environment_is_valid(project: Path) -> None:
    bootstrap_project(project)
    with KedroSession.create(project, env="gpu") as session:
        typed = validate_parameters(session._get_config_loader()["parameters"])
    check_networks(typed)
    model, training = typed["model"], typed["training"]
    assert isinstance(model, ModelParams)
    assert isinstance(training, TrainingParams)
    scale = network_scale(model)
    assert (scale.family, scale.resolution, initial_weights(model, scale)) == ("efficientnet", 224, "imagenet")
    assert (training.require_gpu, training.precision, training.xla) == (True, "mixed_float16", "auto")


def test_phi_without_published_weights_starts_from_none_under_auto() -> None:
    model = checked(model__phi=-1)["model"]
    assert isinstance(model, ModelParams)
    assert initial_weights(model, network_scale(model)) is None
    assert why_not_imagenet(network_scale(model)) == (
        "ImageNet weights exist only for b0, b1, b2, b3, b4, b5, b6, b7, lite0, lite1, lite2 (phi=0 is b0 or lite0), "
        "not for Lite φ = -1"
    )
    assert network_scale(model).resolution == 128


def test_a_budget_of_time_is_not_measured_by_the_check() -> None:
    model = checked(model__phi=None, model__budget={"max_ms_per_image": 1e-9})["model"]
    assert isinstance(model, ModelParams)
    assert network_label(model) == "lite budget"
    with pytest.raises(InputError, match="Exactly one of phi and variant"):
        _ = network_scale(model)


@pytest.mark.parametrize(
    ("value", "name", "version"), [(3, None, "3"), ("3", None, "3"), ("goodbad/12", "goodbad", "12")]
)
def test_a_version_to_grow_from_is_a_number_with_or_without_a_name(
    value: object, name: str | None, version: str
) -> None:
    model = checked(model__grow_from=value, model__phi=1)["model"]
    assert isinstance(model, ModelParams)
    source = parse_growth_source(model.grow_from)
    assert source is not None
    assert (source.name, source.version) == (name, version)
    assert initial_weights(model, network_scale(model)) is None


def test_the_momentum_of_batch_statistics_follows_the_steps_of_an_epoch() -> None:
    training = checked(training__batch_size=32)["training"]
    assert isinstance(training, TrainingParams)
    momenta = [statistics_momentum(training, images) for images in (32, 320, 3200, 320_000)]
    assert momenta == pytest.approx([0.7, 0.7, 0.96, 0.99])
    explicit = checked(training__batch_norm_momentum=0.5)["training"]
    assert isinstance(explicit, TrainingParams)
    assert statistics_momentum(explicit, 320) == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__variant": "b0"}, "phi"),
        ({"model__phi": None}, "phi"),
        ({"model__phi": -40}, "model: phi must leave at least 8 channels in every stage; at phi=-40"),
        ({"model__resolution": 8}, "resolution"),
        (
            {"model__resolution": "auto", "model__phi": 0.5},
            "resolution must be a number or null if the network has no pretrained weights",
        ),
        ({"model__budget": {}, "model__phi": None}, "budget must limit something"),
        ({"model__budget": {"max_macs": 0}, "model__phi": None}, "max_macs"),
        ({"model__budget": {"max_memory_gb": float("nan")}, "model__phi": None}, "max_memory_gb"),
        ({"model__budget": {"max_ms_per_image": float("inf")}, "model__phi": None}, "max_ms_per_image"),
        (
            {"model__budget": {"max_macs": 1000}, "model__phi": None},
            "max_macs is 1,000 but .* is needed, .* times as much",
        ),
        (
            {"model__budget": {"max_memory_gb": 0.25}, "model__phi": None, "training__precision": "float32"},
            "max_memory_gb is 0.25 but .* is needed, .* times as much",
        ),
        ({"model__grow_from": "somewhere"}, "grow_from must be imagenet, a registered version .* received 'somewhere'"),
        ({"model__grow_from": "/nowhere/m.keras"}, "grow_from: the file .* does not exist"),
        (
            {"model__grow_from": "imagenet", "model__phi": -1},
            "model: grow_from: stage 5 has 80 channels, the target has only 72",
        ),
        ({"model__grow_from": "imagenet", "model__phi": 7}, "model: grow_from: .* would gain a shortcut"),
        ({"model__weights": "imagenet", "model__phi": 0.4}, "weights=imagenet: ImageNet weights exist only for"),
        ({"model__weights": "/nowhere/w.weights.h5"}, "does not exist"),
        ({"model__weights": "/nowhere/w.h5", "model__budget": {"max_macs": 1e9}, "model__phi": None}, "does not exist"),
        (
            {"scaling_study__base__phi": -9},
            "scaling_study.base: phi must leave at least 8 channels in every stage; at phi=-9",
        ),
        (
            {"scaling_search__base__phi": -9},
            "scaling_search.base: phi must leave at least 8 channels in every stage; at phi=-9",
        ),
    ],
)
def test_an_impossible_network_is_one_line_before_the_run(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        checked(**changes)
    assert "\n" not in str(caught.value)


def test_all_impossible_networks_are_reported_at_once() -> None:
    with pytest.raises(InputError, match=r"scaling_search\.base: phi.*scaling_study\.base: phi.*model: phi"):
        checked(model__phi=-40, scaling_search__base__phi=-9, scaling_study__base__phi=-9)


@pytest.mark.parametrize(
    "changes", [{"model__weights": "none"}, {"model__phi": None, "model__budget": {"max_macs": 1e9}}]
)
def test_a_review_starts_from_imagenet_weights_whatever_a_training_starts_from(changes: dict[str, object]) -> None:
    model = validate_parameters(parameters(model__resolution=32, **changes))["model"]
    assert isinstance(model, ModelParams)
    network = build_feature_network(model)
    assert network.output_shape == (None, 1280)
    kernel = network.get_layer("stem_conv").get_weights()[0]
    expected = build_feature_network(ModelParams(**parameters(model__resolution=32)["model"]))
    assert (kernel == expected.get_layer("stem_conv").get_weights()[0]).all()


def test_a_network_without_pretrained_weights_cannot_review() -> None:
    model = validate_parameters(parameters(model__phi=-7, model__weights="none"))["model"]
    assert isinstance(model, ModelParams)
    with pytest.raises(
        InputError, match=r"^model: a review needs pretrained weights \(ImageNet.*--params=model.phi=0$"
    ):
        build_feature_network(model)
