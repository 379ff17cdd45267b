import math
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import resolve_scale

# name: parameters, trainable parameters, multiply-adds, the paper's parameters, the paper's FLOPs
STANDARD = {
    "b0": (5_330_571, 5_288_548, 385_814_752, 5.3e6, 0.39e9),
    "b1": (7_856_239, 7_794_184, 686_802_832, 7.8e6, 0.70e9),
    "b2": (9_177_569, 9_109_994, 993_561_872, 9.2e6, 1.0e9),
    "b3": (12_320_535, 12_233_232, 1_827_141_392, 12e6, 1.8e9),
    "b4": (19_466_823, 19_341_616, 4_393_771_024, 19e6, 4.2e9),
    "b5": (30_562_527, 30_389_784, 10_266_384_752, 30e6, 9.9e9),
    "b6": (43_265_143, 43_040_704, 19_067_593_536, 43e6, 19e9),
    "b7": (66_658_687, 66_347_960, 37_745_884_192, 66e6, 37e9),
}
# The same three; trainable ones as the published lite networks have them, the others as Keras counts the built ones.
LITE = {
    "lite0": (4_694_024, 4_652_008, 385_187_552),
    "lite1": (5_470_344, 5_416_680, 600_185_232),
    "lite2": (6_150_168, 6_092_072, 859_736_272),
    "lite3": (8_273_768, 8_197_096, 1_383_321_872),
    "lite4": (13_118_936, 13_006_568, 2_553_034_336),
}
# How much the outputs of B1 to B7's convolutions grow over B0's.
GROWTH = [1.61, 2.05, 3.53, 7.33, 14.7, 24.8, 43.0]


def _count(name, **options):
    return count_complexity(resolve_scale(variant=name), **options)


@pytest.mark.parametrize("name", [*STANDARD, *LITE])
def test_published_networks_count_exactly(name):
    counted = _count(name)
    assert (counted.parameters, counted.trainable_parameters, counted.macs) == (STANDARD | LITE)[name][:3]


@pytest.mark.parametrize("name", STANDARD)
def test_counts_agree_with_the_rounded_figures_of_the_paper(name):
    counted, (*_, parameters, flops) = _count(name), STANDARD[name]
    assert 0.98 <= counted.parameters / parameters <= 1.05
    assert 0.98 <= counted.macs / flops <= 1.05


def test_activations_grow_like_training_time():
    base = _count("b0").activations
    growth = [_count(f"b{number}").activations / base for number in range(1, 8)]
    assert growth == pytest.approx(GROWTH, rel=0.005)


def test_the_cost_of_the_classifier_grows_with_the_classes():
    twelve, two = _count("b0", classes=12), _count("b0", classes=2)
    assert twelve.parameters - two.parameters == 1281 * 10
    assert twelve.macs - two.macs == 12_800
    assert twelve.activations == two.activations


def test_stages_add_up_and_show_table_1():
    counted = _count("b0")
    assert [stage.row.stage for stage in counted.stages] == list(range(1, 10))
    assert sum(stage.cost.macs for stage in counted.stages) == counted.macs
    assert counted.stages[0].cost.parameters == 3 * 3 * 3 * 32 + 4 * 32 + 7


def test_b7_is_counted_quickly():
    # The fastest of five: another program may hold any one of them up.
    assert min(timeit.repeat(lambda: _count("b7"), number=1, repeat=5)) < 0.05


@given(st.floats(-7, 8), st.floats(-7, 8), st.sampled_from(["efficientnet", "efficientnet_lite"]))
def test_costs_never_fall_as_phi_grows(one, other, family):
    small, large = (count_complexity(resolve_scale(phi=phi, family=family)) for phi in sorted((one, other)))
    for field in ("parameters", "trainable_parameters", "macs", "activations"):
        assert getattr(small, field) <= getattr(large, field)


def test_memory_grows_with_the_batch_and_mixed_precision_halves_activations():
    counted = _count("b0")
    states = 16 * counted.parameters
    full, mixed = (counted.training_memory_bytes(32, p) - states for p in ("float32", "mixed_bfloat16"))
    assert full == 2 * mixed == 32 * 4 * 4 * counted.activations
    assert _count("lite0").training_memory_bytes(32) < counted.training_memory_bytes(32)


def _measure(model):
    """Return parameters, trainable parameters, multiply-adds and convolution outputs of a built model."""
    import keras

    macs = activations = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            pixels = math.prod(layer.output.shape[1:3])
            macs += math.prod(layer.kernel.shape) * pixels
            activations += layer.output.shape[-1] * pixels
        elif isinstance(layer, keras.layers.Dense):
            macs += math.prod(layer.kernel.shape)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return model.count_params(), trainable, macs, activations


def _assert_counted_as_built(classes=1000, **shape):
    import keras

    from goodbad_pipeline.networks import build_efficientnet

    keras.backend.clear_session()
    counted = count_complexity(resolve_scale(**shape), classes)
    built = _measure(build_efficientnet(**shape, classes=classes))
    assert built == (counted.parameters, counted.trainable_parameters, counted.macs, counted.activations)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_the_built_model_counts_the_same(name):
    _assert_counted_as_built(variant=name)


@pytest.mark.no_cover
def test_the_built_model_of_another_phi_and_size_counts_the_same():
    _assert_counted_as_built(phi=-3, resolution=65, classes=7)


SHAPES = {
    "phi": st.floats(-7, 2),
    "family": st.sampled_from(["efficientnet", "efficientnet_lite"]),
    "resolution": st.one_of(st.none(), st.integers(32, 301)),
    "classes": st.integers(2, 50),
}


@pytest.mark.no_cover
@settings(max_examples=3)
@given(**{**SHAPES, "phi": st.floats(-7, -2)})
def test_built_models_of_some_phi_count_the_same(phi, family, resolution, classes):
    _assert_counted_as_built(phi=phi, family=family, resolution=resolution, classes=classes)


@pytest.mark.slow
@settings(max_examples=200)
@given(**SHAPES | {"phi": st.floats(-7, 4)})
def test_built_models_of_many_phi_count_the_same(phi, family, resolution, classes):
    _assert_counted_as_built(phi=phi, family=family, resolution=resolution, classes=classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STANDARD, *LITE])
def test_every_built_variant_counts_the_same(name):
    _assert_counted_as_built(variant=name)
