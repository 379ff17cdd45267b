import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import STAGES
from goodbad_pipeline.networks.scaling import (
    FAMILIES,
    SMALLEST_STAGE,
    VARIANTS,
    Coefficients,
    dropout_of,
    resolve_scale,
    round_filters,
    round_repeats,
    round_resolution,
    variants_of,
    warn_of_product,
)

PHI = st.floats(-6, 12)


def test_the_product_of_the_papers_coefficients_is_close_to_two():
    assert Coefficients().product == pytest.approx(1.920, abs=5e-4)


def test_the_misprinted_gamma_is_warned_about(caplog):
    misprint = Coefficients(gamma=1.1)
    assert misprint.product == pytest.approx(1.757, abs=5e-4)
    with caplog.at_level(logging.WARNING):
        warn_of_product(misprint)
    assert "1.757" in caplog.text
    assert "γ=1.1" in caplog.text


def test_the_coefficients_of_the_paper_are_not_warned_about(caplog):
    warn_of_product(Coefficients())
    assert not caplog.records


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("value", [0.99, 100.1, 1e200, math.nan, math.inf, "1.2", True, None])
def test_invalid_coefficients_are_an_error(name, value):
    with pytest.raises(InputError, match=f"^{name} must be"):
        Coefficients(**{name: value})


# (filters, width, channels) of the reference code.
@pytest.mark.parametrize(
    ("filters", "width", "channels"),
    [
        (32, 1.0, 32),
        (40, 1.1, 48),
        (24, 1.1, 24),
        (80, 1.1, 88),
        (32, 1.4, 48),
        (1280, 1.4, 1792),
        (16, 0.5, 8),
        (20, 0.59, 16),
    ],
)
def test_filters_round_as_published(filters, width, channels):
    assert round_filters(filters, width) == channels


@given(st.integers(8, 2048), st.floats(0.5, 10))
def test_filters_are_a_multiple_of_eight_close_to_the_exact_value(filters, width):
    rounded = round_filters(filters, width)
    assert rounded % 8 == 0
    assert 0.9 * filters * width - 1e-6 <= rounded <= filters * width + 8


@given(st.integers(1, 2048), st.floats(0.1, 10), st.floats(0.1, 10))
def test_filters_never_shrink_as_width_grows(filters, one, other):
    narrow, wide = sorted((one, other))
    assert round_filters(filters, narrow) <= round_filters(filters, wide)


def test_repeats_round_up_without_float_error():
    assert 25 * 1.12 > 28
    assert round_repeats(25, 1.12) == 28
    assert [round_repeats(repeats, 3.1) for repeats in (1, 2, 3, 4)] == [4, 7, 10, 13]


@given(st.integers(1, 50), st.integers(1, 50))
def test_repeats_of_an_exact_product_add_no_layer(repeats, percent):
    assert round_repeats(repeats * 100, percent / 100) == repeats * percent


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_repeats_and_resolution_never_shrink(one, other):
    small, large = sorted((one, other))
    assert round_repeats(4, small) <= round_repeats(4, large)
    assert round_resolution(small) <= round_resolution(large)


@pytest.mark.parametrize(("family", "name"), [("efficientnet", "b0"), ("efficientnet_lite", "lite0")])
def test_phi_zero_is_the_base_network(family, name):
    base, published = resolve_scale(phi=0, family=family), resolve_scale(variant=name)
    for field in ("family", "width", "depth", "resolution", "dropout", "stochastic_depth"):
        assert getattr(base, field) == getattr(published, field)
    assert base.resolution == 224


def test_phi_one_multiplies_by_the_coefficients():
    scale = resolve_scale(phi=1)
    assert (scale.depth, scale.width, scale.resolution) == (1.2, 1.1, 258)


@given(PHI, PHI)
def test_scale_is_monotone_in_phi(one, other):
    small, large = (resolve_scale(phi=phi) for phi in sorted((one, other)))
    for field in ("width", "depth", "resolution", "dropout"):
        assert getattr(small, field) <= getattr(large, field)


def test_dropout_follows_the_paper():
    assert [dropout_of(phi, "efficientnet") for phi in (-3, 0, 7, 9)] == [0.2, 0.2, 0.5, 0.5]
    assert dropout_of(3.5, "efficientnet") == pytest.approx(0.35)
    assert [dropout_of(phi, "efficientnet_lite") for phi in (-1, 0, 0.5, 1, 2, 3.5)] == [0.2, 0.2, 0.2, 0.3, 0.3, 0.3]


def test_explicit_values_override_those_of_phi():
    scale = resolve_scale(variant="b3", resolution=96, dropout=0.0, stochastic_depth=0.1)
    assert (scale.resolution, scale.dropout, scale.stochastic_depth, scale.width) == (96, 0.0, 0.1, 1.2)


def test_a_variant_sets_the_family():
    assert resolve_scale(variant="Lite0").family == "efficientnet_lite"
    assert resolve_scale(variant="lite0", family="efficientnet_lite").family == "efficientnet_lite"
    assert resolve_scale(variant="b4").family == "efficientnet"


def test_labels_are_readable():
    assert resolve_scale(variant="lite0").label == "Lite0"
    assert resolve_scale(phi=-1.5).label == "φ = -1.5"
    assert resolve_scale(phi=2, family="efficientnet_lite").label == "Lite φ = 2"


def test_the_smallest_stage_agrees_with_the_architecture():
    assert min(stage.channels for stage in STAGES) == SMALLEST_STAGE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of phi and variant"),
        ({"phi": 0, "variant": "b0"}, "Exactly one of phi and variant"),
        ({"phi": math.nan}, "phi must be a finite number; received nan"),
        ({"phi": -math.inf}, "phi must be a finite number"),
        ({"phi": True}, "phi must be a finite number; received True"),
        ({"phi": "1"}, "phi must be a finite number; received '1'"),
        ({"phi": -8}, "phi must leave at least 8 channels in every stage; at phi=-8"),
        ({"phi": -1e6}, "phi must leave at least 8 channels in every stage"),
        (
            {"phi": -6, "coefficients": Coefficients(1.2, 1.0, 1.5)},
            "phi must give a resolution of at least 32 pixels; phi=-6 gives 20",
        ),
        (
            {"phi": -7, "coefficients": Coefficients(30, 1, 1)},
            "phi must leave at least one layer in every stage; phi=-7 with alpha=30 multiplies depth by 4.57e-11",
        ),
        ({"phi": -7.2, "coefficients": Coefficients(22, 1, 1)}, "phi=-7.2 with alpha=22 multiplies depth by"),
        ({"phi": -20, "coefficients": Coefficients(3, 1, 1)}, "phi=-20 with alpha=3 multiplies depth by"),
        ({"phi": -1e300}, "phi must leave at least"),
        ({"phi": 1e6}, "phi must keep alpha"),
        ({"phi": 5, "coefficients": Coefficients(alpha=10)}, r"phi must keep alpha\*\*phi within 100"),
        ({"variant": "b8"}, "variant must be one of b0, .*lite4; received 'b8'"),
        ({"variant": "b0", "family": "efficientnet_lite"}, "variant 'b0' is of family efficientnet"),
        ({"phi": 0, "family": "resnet"}, "family must be one of efficientnet, efficientnet_lite; received 'resnet'"),
        ({"phi": 0, "resolution": 31}, "resolution must be .* at least 32; received 31"),
        ({"phi": 0, "resolution": 64.0}, "resolution must be a whole number"),
        ({"phi": 0, "resolution": True}, "resolution must be a whole number"),
        ({"phi": 0, "dropout": 1.0}, "dropout must be at least 0 and below 1; received 1.0"),
        ({"phi": 0, "stochastic_depth": -0.1}, "stochastic_depth must be at least 0"),
    ],
)
def test_invalid_input_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        resolve_scale(**arguments)
    assert "\n" not in str(caught.value)


def test_an_explicit_resolution_permits_a_smaller_phi():
    steep = Coefficients(1.2, 1.0, 1.5)
    assert resolve_scale(phi=-6, coefficients=steep, resolution=32).resolution == 32


def test_each_variant_belongs_to_one_family():
    assert [v for family in FAMILIES for v in variants_of(family)] == list(VARIANTS.values())
    assert [v.name for v in variants_of("efficientnet_lite")] == ["lite0", "lite1", "lite2", "lite3", "lite4"]
