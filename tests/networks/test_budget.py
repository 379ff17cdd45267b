import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import stage_table
from goodbad_pipeline.networks.budget import LARGEST, STEPS, Budget, Step, choose_phi, phi_range
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import Coefficients, resolve_scale

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"
FAMILIES = ["efficientnet", "efficientnet_lite"]


def _costs(phi, family="efficientnet", step=None):
    step = step or Step()
    cost = count_complexity(resolve_scale(phi=phi, family=family), step.classes)
    memory = cost.training_memory_bytes(step.batch_size, step.precision) / 1e9
    return {"max_macs": cost.macs, "max_parameters": cost.parameters, "max_memory_gb": memory}


@settings(max_examples=40)
@given(st.floats(2e7, 1e11), st.sampled_from(FAMILIES))
def test_the_largest_phi_within_the_limit_is_chosen(macs, family):
    phi = choose_phi(Budget(max_macs=macs), family=family).scale.phi
    assert _costs(phi, family)["max_macs"] <= macs < _costs(phi + 0.01, family)["max_macs"]


def test_every_limit_holds_and_the_binding_one_is_named():
    step = Step(classes=2, batch_size=32)
    budget = Budget(max_macs=1e9, max_parameters=2e6, max_memory_gb=100)
    choice = choose_phi(budget, step=step)
    assert choice.bound_by == ("max_parameters",)
    assert choice.reason == "max_parameters"
    assert {one.name: one.cost for one in choice.uses} == pytest.approx(_costs(choice.scale.phi, step=step))
    assert {one.name: one.limit for one in choice.uses} == budget.limits
    assert all(one.fits for one in choice.uses)
    assert str(choice.uses[1]).startswith("max_parameters: 1.99")


def test_memory_counts_batch_and_precision():
    phis = [
        choose_phi(Budget(max_memory_gb=2), step=Step(2, batch, precision)).scale.phi
        for batch, precision in ((64, "float32"), (32, "float32"), (32, "mixed_float16"))
    ]
    assert phis == sorted(phis)
    assert len(set(phis)) == 3


def test_a_fixed_resolution_leaves_more_for_depth_and_width():
    small = choose_phi(Budget(max_macs=4e8), resolution=128)
    assert small.scale.resolution == 128
    assert small.scale.phi > choose_phi(Budget(max_macs=4e8)).scale.phi


def test_a_huge_budget_gives_the_largest_phi_of_the_grid():
    choice = choose_phi(Budget(max_macs=1e15))
    assert choice.scale.phi == LARGEST / STEPS
    assert choice.bound_by == ()
    assert choice.reason == "the largest φ tried, 10"
    steep = choose_phi(Budget(max_macs=1e15), coefficients=Coefficients(1, 2, 1))
    assert steep.reason == "the largest φ tried, 6.64"  # 2^6.65 is beyond the largest factor, 100


def test_a_budget_too_small_for_any_network_states_by_how_much():
    with pytest.raises(InputError, match=r"smallest network, φ = -7.27 at 81 pixels, .*max_macs is 1e\+06") as caught:
        choose_phi(Budget(max_macs=1e6, max_parameters=1e9))
    least = _costs(-7.27)["max_macs"] / 1e6
    assert f"{least:.3g} times as much" in str(caught.value)
    assert "max_parameters" not in str(caught.value)


def test_a_budget_without_limits_is_an_error():
    with pytest.raises(InputError, match="budget must limit something"):
        Budget()


class Clock:
    """A simulated device: one millisecond, and another per ten million activations."""

    def __init__(self):
        self.asked = []

    def __call__(self, scale):
        self.asked.append(scale.phi)
        return 1 + count_complexity(scale).activations / 1e7


@pytest.mark.parametrize("limit", [1.2, 1.6, 3, 20])
def test_time_is_measured_for_few_networks_and_stays_within_the_limit(limit):
    clock = Clock()
    choice = choose_phi(Budget(max_ms_per_image=limit), probe=clock)
    assert choice.bound_by == ("max_ms_per_image",)
    assert clock(choice.scale) <= limit < clock(resolve_scale(phi=choice.scale.phi + 0.1))
    assert len(clock.asked) <= 8


def test_time_is_measured_only_within_the_other_limits():
    clock = Clock()
    choice = choose_phi(Budget(max_macs=2e8, max_ms_per_image=1000), probe=clock)
    assert choice.bound_by == ("max_macs",)
    assert choice.scale.phi == choose_phi(Budget(max_macs=2e8)).scale.phi
    assert max(clock.asked) <= choice.scale.phi


def test_a_time_limit_below_any_network_reports_the_measured_time():
    with pytest.raises(InputError, match=r"max_ms_per_image is 1 but 1.0\d+ is needed, 1.0\d times as much"):
        choose_phi(Budget(max_ms_per_image=1), probe=Clock())


def test_the_search_ends_with_a_noisy_clock():
    answers, measured = iter([5.0, 900.0, 0.0, 70.0] * 20), {}

    def probe(scale):
        measured[scale.phi] = next(answers)
        return measured[scale.phi]

    choice = choose_phi(Budget(max_ms_per_image=100), probe=probe)
    assert measured[choice.scale.phi] <= 100
    assert choice.uses[-1].cost == measured[choice.scale.phi]
    assert measured[round(choice.scale.phi + 0.1, 2)] > 100


def test_a_time_limit_without_a_probe_is_an_error():
    with pytest.raises(InputError, match="needs a probe"):
        choose_phi(Budget(max_ms_per_image=1))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "coefficients", [Coefficients(), Coefficients(1, 1, 1), Coefficients(2, 1.5, 1.2), Coefficients(30, 1, 1)]
)
def test_the_range_of_phi_covers_all_networks_that_exist(coefficients):
    low, high = phi_range(coefficients)
    for phi in (low, high):
        resolve_scale(phi=phi, coefficients=coefficients)
    if low > -10:
        with pytest.raises(InputError):
            resolve_scale(phi=low - 0.01, coefficients=coefficients)


@pytest.mark.no_cover
@pytest.mark.parametrize("family", FAMILIES)
def test_a_large_alpha_ends_the_grid_before_a_stage_vanishes(family):
    steep = Coefficients(30, 1, 1)
    with pytest.raises(InputError, match=r"not even the smallest network, .*φ = -6.29 at 224 pixels"):
        choose_phi(Budget(max_macs=1), family=family, coefficients=steep)
    smallest = resolve_scale(phi=phi_range(steep)[0], family=family, coefficients=steep)
    assert [row.layers for row in stage_table(smallest)] == [1] * 9


def test_the_search_over_phi_logs_no_warning(caplog):
    choose_phi(Budget(max_macs=4e8), coefficients=Coefficients(1.2, 1.1, 1.1))
    assert not caplog.records


TABLE = re.findall(r"^\| ([\d.]+) \| ([+−]\d+) \| ([+−]\d+) \|$", DOCS.read_text(), re.MULTILINE)


def _over(phi):
    """Return counted multiply-adds relative to 2^φ and to product^φ, minus 1."""
    ratio = count_complexity(resolve_scale(phi=phi)).macs / count_complexity(resolve_scale(phi=0)).macs
    return ratio / 2**phi - 1, ratio / Coefficients().product ** phi - 1


def test_the_docs_have_a_table_of_the_doubling_law():
    assert [float(phi) for phi, *_ in TABLE] == [0.02, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.no_cover
@pytest.mark.parametrize("row", TABLE)
def test_the_doubling_law_agrees_with_the_table_in_the_docs(row):
    phi, *printed = (float(cell.replace("−", "-")) for cell in row)
    assert [round(100 * over) for over in _over(phi)] == printed


@pytest.mark.no_cover
def test_the_doubling_law_holds_and_fails_where_the_docs_state():
    """See docs/scaling.md."""
    over = {step / 100: _over(step / 100) for step in range(1, 701)}
    doubling = {phi: by_two for phi, (by_two, _) in over.items()}
    assert max(doubling.values()) == pytest.approx(0.71, abs=0.005)
    assert max(doubling, key=doubling.get) < 0.05
    assert min(doubling.values()) == pytest.approx(-0.215, abs=0.005)
    assert all(abs(doubling[phi]) <= 0.22 for phi in doubling if phi >= 2.05)
    middle = [abs(doubling[phi]) <= 0.15 for phi in doubling if 2.05 <= phi <= 5.3]
    assert sum(middle) / len(middle) == pytest.approx(0.94, abs=0.005)
    assert all(-0.01 <= by_product <= 0.18 for phi, (_, by_product) in over.items() if phi >= 5.08)
    assert _over(-3)[0] + 1 == pytest.approx(2.2, abs=0.05)
