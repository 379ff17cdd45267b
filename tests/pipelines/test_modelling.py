import json
import sys
import zipfile
from pathlib import Path

import h5py
import mlflow
import numpy as np
import pandas as pd
import pytest
from cli_runner import kedro_run, runs, store
from factories import parameters

from goodbad_pipeline import network_factory as building
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.evaluation.exposure import split_exposure
from goodbad_pipeline.networks.pretrained import kernel_shapes
from goodbad_pipeline.networks.scaling import read_scale, resolve_scale
from goodbad_pipeline.params import validate_parameters
from goodbad_pipeline.pipeline_registry import register_pipelines
from goodbad_pipeline.pipelines.training import nodes
from goodbad_pipeline.pipelines.training.nodes import build_model, check_columns, choose_network
from goodbad_pipeline.registry import lineage
from goodbad_pipeline.registry.models import RegisteredModel, load_version
from goodbad_pipeline.serving.classifier import Classifier

SPLITS = pd.DataFrame(
    {"label": ["bad", "good"] * 3, "split": "train", "image_id": list("abcdef"), "group": list("abcdef")}
)


def check(**changes: object) -> None:
    building.check_networks(validate_parameters(parameters(**changes)))


def choose(**changes: object) -> dict:
    typed = validate_parameters(parameters(**{f"model__{name}": value for name, value in changes.items()}))
    return choose_network(SPLITS, typed["model"], typed["training"], typed["registry"], typed["images"], None)


def build(network: dict, **changes: object):
    typed = validate_parameters(parameters(**{f"model__{name}": value for name, value in changes.items()}))
    return build_model(SPLITS, network, typed["model"], typed["training"], typed["registry"])


@pytest.mark.parametrize("side", [100, 150])
def test_the_resolution_of_auto_is_the_chosen_one(side: int, monkeypatch) -> None:
    """Images of at most 128 pixels leave no choice; for larger ones, the candidates are compared."""

    def compare(candidates: list[int], *_: object) -> pd.DataFrame:
        rows = {"log_loss": 0.5, "chosen": [candidate == candidates[-1] for candidate in candidates]}
        return pd.DataFrame({"resolution": candidates, **rows})

    monkeypatch.setattr(nodes.linear_head, "compare_resolutions", compare)
    typed = validate_parameters(parameters(model__resolution="auto"))
    splits = SPLITS.assign(width=side, height=side // 2)
    network = choose_network(splits, typed["model"], typed["training"], typed["registry"], typed["images"], None)
    assert network["resolution"] == (128 if side == 100 else 160)
    assert [row["resolution"] for row in network["resolutions"]] == ([128] if side == 100 else [128, 160])
    assert json.loads(json.dumps(network)) == network


def test_processes_join_before_a_model_to_grow_is_loaded(monkeypatch) -> None:
    """JAX lets no process join once it has listed devices."""
    done = []

    def load(*_: object) -> None:
        done.append("loaded")
        raise InputError("enough")

    monkeypatch.setattr(nodes.distributed, "join_processes", lambda: done.append("met"))
    monkeypatch.setattr(building, "load_version", load)
    typed = validate_parameters(parameters(model__phi=1, model__grow_from=1, training__distributed=True))
    with pytest.raises(InputError, match="enough"):
        choose_network(SPLITS, typed["model"], typed["training"], typed["registry"], typed["images"], None)
    assert done == ["met", "loaded"]


def test_the_chosen_network_is_unchanged_by_json() -> None:
    network = json.loads(json.dumps(choose(phi=-2.5, resolution=None)))
    assert read_scale(network) == resolve_scale(phi=-2.5, family="efficientnet_lite")
    assert (network["weights"], network["pretrained"]) == ("none", False)
    assert network["alpha_beta2_gamma2"] == 1.9203


def test_a_smaller_network_of_the_standard_family_is_chosen_and_built() -> None:
    changes = {"family": "efficientnet", "phi": -2, "weights": "none", "resolution": 32}
    network = choose(**changes)
    assert (network["family"], network["weights"], network["pretrained"]) == ("efficientnet", "none", False)
    model = build(network, **changes)
    assert model.count_params() == network["parameters"]
    assert model.get_layer("block1a_se_reduce")
    assert (model.input_shape, model.output_shape) == ((None, 32, 32, 3), (None, 2))


def file_of(path: Path, classes: int = 2, **scale: object) -> str:
    """A file as Keras writes it, as far as its shapes go; writing one takes no network."""
    shapes = [*kernel_shapes(resolve_scale(family="efficientnet_lite", **scale)), (1280, classes)]
    with h5py.File(path, "w") as file:
        for number, shape in enumerate(shapes):
            file.create_dataset(f"layers/layer_{number}/vars/0", shape)
            file.create_dataset(f"optimizer/vars/{number}", shape)
    return str(path)


def test_weights_that_do_not_fit_are_an_error_before_the_build(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(building, "build_untrained", lambda *_: pytest.fail("built"))
    weights = file_of(tmp_path / "w.weights.h5", phi=-2)
    assert choose(phi=-2, weights=weights)["pretrained"] is True
    with pytest.raises(
        InputError, match=r"w\.weights\.h5' do not fit: Lite φ = -3 has \d+ kernels of shape .*received"
    ):
        check(model__phi=-3, model__weights=weights)
    with pytest.raises(InputError, match=r"do not fit: Lite φ = .* has"):
        choose(phi=None, budget={"max_macs": 3e7}, weights=weights)
    three = file_of(tmp_path / "three.h5", classes=3, phi=-2)
    with pytest.raises(InputError, match=r"classifier has the shape \(1280, 2\); received \(1280, 3\)"):
        choose(phi=-2, weights=three)
    (tmp_path / "no.h5").write_text("no")
    with pytest.raises(InputError, match=r"no\.h5 cannot be read"):
        check(model__phi=-2, model__weights=str(tmp_path / "no.h5"))


def test_a_missing_sensitive_column_is_an_error_before_training() -> None:
    typed = validate_parameters(parameters(evaluation__sensitive=["nope"]))
    with pytest.raises(InputError, match=r"evaluation\.sensitive: the manifest has no column 'nope'; it has: label"):
        check_columns(SPLITS, typed["evaluation"])
    stages = register_pipelines()["train"]
    order = [node.name for node in stages.nodes]
    assert order.index("training.check_columns") < order.index("training.build_model")


def test_the_product_is_logged_for_a_network_given_by_phi(caplog) -> None:
    caplog.set_level("INFO")
    choose(phi=-2.5)
    choose(phi=None, budget={"max_macs": 3e7})
    assert caplog.text.count("α·β²·γ² = 1.920") == 2
    choose(phi=None, variant="b0", weights="none")
    assert caplog.text.count("α·β²·γ² = 1.920") == 2


def test_a_network_stored_in_an_old_format_is_an_error_of_one_line() -> None:
    with pytest.raises(InputError, match="lacks stochastic_depth; run the node choose_network again"):
        read_scale(
            {"family": "efficientnet", "width": 1, "depth": 1, "resolution": 64, "dropout": 0.2, "phi": 0}
            | {"variant": None}
        )


def test_a_budget_is_fitted_once_and_logged() -> None:
    network = choose(phi=None, budget={"max_macs": 3e7, "max_parameters": 5e6})
    assert network["macs"] <= 3e7
    assert network["bound_by"] == "max_macs"
    assert network["budget"]["max_macs"] == {"cost": network["macs"], "limit": 3e7}
    assert network["phi"] < 0


def test_time_is_measured_for_a_few_networks_untrained(monkeypatch) -> None:
    probed = []

    def timed(scale, *, classes, batch_size):
        probed.append((classes, batch_size))
        return 1.0 if scale.phi < -3 else 9.0

    monkeypatch.setattr(building, "measure_ms_per_image", timed)
    network = choose(phi=None, budget={"max_ms_per_image": 5, "max_macs": 1e9, "batch_size": 3})
    assert network["bound_by"] == "max_ms_per_image"
    assert -3.2 < network["phi"] < -3
    assert set(probed) == {(2, 3)}
    assert len(probed) < 12


def test_the_probe_times_a_network_on_this_device() -> None:
    assert 0 < building.measure_ms_per_image(resolve_scale(phi=-7, resolution=32), classes=2, batch_size=2) < 5000


@pytest.mark.long
def test_growth_from_imagenet_is_one_parameter_and_counts_as_pretrained() -> None:
    network = choose(phi=1, grow_from="imagenet", resolution=48)
    assert network["pretrained"]
    assert network["weights"] == "grown from imagenet"
    large = build(network, phi=1, grow_from="imagenet", resolution=48)
    base = build(choose(phi=0, resolution=48), phi=0, resolution=48)
    assert large.output_shape == (None, 2)
    stem = [model.get_layer("block4a_expand_conv").get_weights()[0] for model in (base, large)]
    rows, columns = stem[0].shape[2:]
    assert (stem[0] == stem[1][:, :, :rows, :columns]).all()
    assert not stem[1][:, :, rows:, :columns].any()


def test_growth_from_a_file_keeps_its_classifier(tmp_path, caplog) -> None:
    small = {"phi": -6, "resolution": 32, "weights": "none"}
    file = tmp_path / "small.keras"
    base = build(choose(**small), **small)
    base.save(file)
    grown = {"phi": -5, "resolution": 32, "grow_from": str(file)}
    network = choose(**grown)
    assert network["source"] == {"version": None, "recorded": False, "test_images": 0}
    assert f"training data of the initial weights (grown from {file}) is unknown" in caplog.text
    large = build(network, **grown)
    kernels = [model.get_layer("predictions").get_weights()[0] for model in (base, large)]
    assert kernels[0].any()
    assert (kernels[1][: len(kernels[0])] == kernels[0]).all()
    assert not kernels[1][len(kernels[0]) :].any()
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    before, after = (np.asarray(model(images, training=False)) for model in (base, large))
    assert np.ptp(before, axis=0).min() > 1e-3  # the predictions differ between images
    assert abs(before - after).max() <= 1e-4


def test_growth_to_a_smaller_network_is_an_error_before_the_build(tmp_path, monkeypatch) -> None:
    file = tmp_path / "large.keras"
    options = {"phi": -4, "resolution": 32, "weights": "none"}
    large = build(choose(**options), **options)
    large.save(file)
    message = "stage 4 has 32 channels, the target has only 24"
    with pytest.raises(InputError, match=message):
        check(model__phi=-6, model__grow_from=str(file))
    with pytest.raises(InputError, match=r"grow_from: stage \d has \d+ channels, the target has only \d+"):
        choose(phi=None, budget={"max_macs": 3e6}, resolution=32, grow_from=str(file))
    registered = RegisteredModel("goodbad", "3", Classifier(large, None, Calibration(["bad", "good"])))
    monkeypatch.setattr(building, "load_version", lambda *_: registered)
    with pytest.raises(InputError, match=message):
        choose(phi=-6, grow_from=3)


def test_first_weights_trained_on_test_images_are_logged_before_training(monkeypatch, caplog) -> None:
    monkeypatch.setattr(building, "_growth_shape", lambda *_: None)
    seen = split_exposure(SPLITS[:2])
    monkeypatch.setattr(lineage, "read_exposure", lambda name, version: {("goodbad", "3"): seen}[name, version])
    monkeypatch.setattr(sys.modules[__name__], "SPLITS", SPLITS.assign(split=["test"] * 3 + ["train"] * 3))
    network = choose(phi=1, grow_from=3)
    assert network["source"] == {"version": "goodbad/3", "recorded": True, "test_images": 2}
    assert "(grown from 3) were trained or selected on 2 test images, or on images of the same groups" in caplog.text


def _rewritten(archive: Path, target: Path, **members: bytes) -> Path:
    """A copy of a .keras archive with some of its members replaced."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.split(".")[0], old.read(name)))
    return target


def test_a_damaged_file_to_grow_from_is_one_line(tmp_path) -> None:
    file = tmp_path / "no.keras"
    file.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"grow_from: .*no\.keras cannot be read as a \.keras file") as caught:
        check(model__phi=1, model__grow_from=str(file))
    assert "\n" not in str(caught.value)
    options = {"phi": -6, "resolution": 32, "weights": "none"}
    build(choose(**options), **options).save(tmp_path / "whole.keras")
    for number, damage in enumerate(({"config": b"{"}, {"config": b'{"config": {"layers": [3]}}'})):
        file = _rewritten(tmp_path / "whole.keras", tmp_path / f"{number}.keras", **damage)
        with pytest.raises(InputError, match=r"cannot be read as a \.keras file"):
            check(model__phi=1, model__grow_from=str(file))
    file = _rewritten(tmp_path / "whole.keras", tmp_path / "weights.keras", model=b"no weights")
    grown = {"phi": -5, "resolution": 32, "grow_from": str(file)}
    with pytest.raises(InputError, match=r"grow_from: .*weights\.keras cannot be loaded \(") as caught:
        build(choose(**grown), **grown)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_the_budget_are_an_error_before_the_build() -> None:
    with pytest.raises(InputError, match=r"weights=imagenet: .* not for Lite φ = -.*Set weights to none"):
        choose(phi=None, budget={"max_macs": 3e7}, weights="imagenet")


def test_a_missing_version_to_grow_from_is_an_error_before_time_is_measured(tmp_path, monkeypatch) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(building, "fit_budget", lambda *_: pytest.fail("measured"))
    with pytest.raises(InputError, match="'goodbad' has no version 9"):
        choose(phi=1, grow_from=9)


def test_an_unregistered_version_is_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(InputError, match="'goodbad' has no version 9"):
        load_version("goodbad", "9")


@pytest.mark.slow
def test_a_registered_version_is_grown_within_a_budget(project) -> None:
    kedro_run(project, "data")
    kedro_run(project, "train", model__phi=-6)
    kedro_run(project, "data", splits__seed=1)
    kedro_run(project, "train", model__phi=None, model__budget={"max_macs": 1.2e7}, model__grow_from="goodbad/1")
    run = runs(project)[0]
    assert run.info.run_name == "train · characters · goodbad · lite budget"
    assert run.data.params["model.budget.max_macs"] == "12000000.0"
    assert run.data.params["network.bound_by"] == "max_macs"
    assert -6 < float(run.data.params["network.phi"]) < 0
    assert run.data.params["network.weights"] == "grown from goodbad/1"
    assert float(run.data.params["network.budget.max_macs.cost"]) <= 1.2e7
    assert runs(project)[2].data.params["network.phi"] == "-6.0"
    known = int(run.data.params["network.source.test_images"])
    assert known > 0
    grown = store(project).get_model_version("goodbad", "2")
    assert (grown.tags["gate"], grown.tags["alias_at_registration"]) == ("failed: leakage, comparable", "challenger")
    assert f"were trained or selected on {known} of " in grown.description
    findings = json.loads((project / "data/08_reporting/findings.json").read_text())
    assert findings[0]["code"] == "leakage"
    history = pd.read_csv(project / "data/07_model_output/history.csv")
    assert history["phase"].iloc[0] == "head"
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    assert load_version("goodbad", "2").class_names == ["bad", "good"]


def test_classes_of_other_names_get_a_classifier_of_their_own(monkeypatch) -> None:
    monkeypatch.setattr(nodes, "describe_source", lambda *_: None)
    small = build(choose(phi=-6, resolution=32), phi=-6, resolution=32)
    classifier = small.get_layer("predictions")
    classifier.set_weights([weight + 1 for weight in classifier.get_weights()])
    grown = {"phi": -5, "resolution": 32, "grow_from": 3}
    kernels = []
    for names in (["bad", "good"], ["cat", "dog"]):
        found = RegisteredModel("goodbad", "3", Classifier(small, None, Calibration(names)))
        monkeypatch.setattr(building, "load_version", lambda *_, found=found: found)
        kernels.append(build(choose(**grown), **grown).get_layer("predictions").get_weights()[0])
    old = small.get_layer("predictions").get_weights()[0]
    assert (kernels[0][: len(old)] == old).all()
    assert not (kernels[1][: len(old)] == old).all()
