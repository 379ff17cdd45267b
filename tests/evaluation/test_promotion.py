import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.evaluation.promotion import (
    CHECKS,
    Champion,
    Evidence,
    Rules,
    SliceDrop,
    decide_promotion,
    reconsider,
)

STRICT = Rules("strict", significance=0.025, max_ece_rise=0.02, max_slice_drop=0.05, parity_tolerance=1e-5)
OLD = Champion("3", score=0.9, p_value=0.001, ece=0.03, images=400, ece_rise=-0.01)
NEW = Evidence("balanced_accuracy", score=0.95, ece=0.03, images=400, parity=0.0, champion=OLD)
scores = st.floats(0, 1)


def decide(*, policy="strict", **changes):
    """Decide about a clearly better model, with fields of it or of the champion changed by name."""
    fields = {field.name for field in dataclasses.fields(Champion)} - {"score", "ece", "images"}
    old = {key.removeprefix("old_"): value for key, value in changes.items() if key.startswith("old_") or key in fields}
    new = {key: value for key, value in changes.items() if key not in fields and not key.startswith("old_")}
    evidence = dataclasses.replace(NEW, champion=dataclasses.replace(OLD, **old), **new)
    return decide_promotion(evidence, dataclasses.replace(STRICT, policy=policy))


def status(decision):
    return {check.name: check.status for check in decision.checks}


def test_a_model_that_passes_everything_takes_over():
    decision = decide()
    assert decision.promoted
    assert decision.reason == (
        "balanced_accuracy 0.9500 is better than the champion's 0.9000; the gain is significant (p = 0.001)"
    )
    assert status(decision) == dict.fromkeys(CHECKS, "passed")


@pytest.mark.parametrize(
    ("changes", "check", "reason"),
    [
        ({"score": 0.85}, "score", "balanced_accuracy 0.8500 is no better than the champion's 0.9000"),
        ({"score": 0.9}, "score", "balanced_accuracy 0.9000 is no better than the champion's 0.9000"),
        ({"p_value": 0.2}, "chance", "the gain is not significant (p = 0.2)"),
        ({"score": 0.9, "p_value": 1.0}, "chance", "there is no gain"),
        ({"metric": "log_loss", "score": 0.95, "p_value": 0.9}, "chance", "there is no gain"),
        (
            {"ece": 0.08, "ece_rise": 0.024},
            "calibration",
            "calibration error 0.080, the champion's 0.030: a rise of at least 0.024; at most 0.02 is allowed",
        ),
        ({"leaks": ("2 groups are in more than one split (first: a)",)}, "leakage", "the splits leak: 2 groups are"),
        ({"parity": 1e-3}, "parity", "changes its probabilities by up to 0.001; at most 1e-05 is allowed"),
        ({"parity": math.inf}, "parity", "cannot be loaded"),
        ({"parity": math.nan}, "parity", "cannot be loaded"),
        ({"images": 399}, "images", "399 images in the splits, fewer than the champion's 400"),
        (
            {"incomparable": "its classes are cats"},
            "comparable",
            "comparable with the champion: its classes are cats",
        ),
        (
            {"drops": (SliceDrop("hair", "red", 30, 0.07), SliceDrop("hair", "grey", 50, 0.2))},
            "slices",
            "accuracy where hair is grey (50 images) fell by 0.200; accuracy fell too far on 1 more slice",
        ),
    ],
)
def test_each_failure_alone_keeps_the_champion_and_is_reported(changes, check, reason):
    decision = decide(**changes)
    assert decision.alias == "challenger"
    assert status(decision)[check] == "failed"
    assert reason in decision.reason
    assert [one.name for one in decision.checks] == list(CHECKS)


def test_a_small_drop_on_a_slice_is_ignored():
    assert decide(drops=(SliceDrop("hair", "red", 30, 0.04),)).promoted


def test_a_calibration_error_that_may_have_risen_by_chance_is_ignored():
    decision = decide(ece=0.08, ece_rise=0.01)
    assert decision.promoted
    assert "calibration error 0.080, the champion's 0.030: no significant rise above 0.02" in [
        check.reason for check in decision.checks
    ]
    assert status(decide(ece=0.08, ece_rise=math.nan))["calibration"] == "skipped"  # a single group


def test_the_same_again_stays_challenger_and_is_reported():
    decision = decide(score=0.9, p_value=1.0, same_predictions=True)
    assert decision.alias == "challenger"
    assert "no better than the champion's 0.9000; all predictions are the same" in decision.reason


def test_the_first_model_becomes_champion_if_it_is_sound():
    first = dataclasses.replace(NEW, champion=None)
    decision = decide_promotion(first, STRICT)
    assert decision.promoted
    assert decision.reason == "no champion yet; balanced_accuracy 0.9500"
    assert status(decision) == dict.fromkeys(CHECKS, "skipped") | {"parity": "passed", "leakage": "passed"}
    for unsound in ({"parity": 0.1}, {"leaks": ("x",)}, {"score": math.nan}):
        assert not decide_promotion(dataclasses.replace(first, **unsound), STRICT).promoted


def test_lower_log_loss_is_better():
    better = decide(metric="log_loss", score=0.2, old_score=0.3)
    assert better.promoted
    assert better.reason.startswith("log_loss 0.2000 is better than the champion's 0.3000 (lower is better)")
    assert not decide(metric="log_loss", score=0.3, old_score=0.2).promoted


def test_numbers_that_differ_read_differently():
    assert "0.900001 is better than the champion's 0.900000" in decide(score=0.900001).reason


def test_a_policy_relaxes_by_choice_and_what_it_ignores_is_reported():
    lucky = {"p_value": 0.4, "ece": 0.2, "ece_rise": 0.1, "images": 10}
    assert not decide(**lucky).promoted
    decision = decide(policy="better", **lucky)
    assert decision.promoted
    assert (
        "ignored under promotion.policy=better: the gain is not significant (p = 0.4); calibration" in decision.reason
    )
    assert not decide(policy="better", score=0.9).promoted
    assert not decide(policy="better", leaks=("x",)).promoted
    assert decide(policy="always", score=0.1, incomparable="its classes are cats").promoted
    assert not decide(policy="always", parity=0.5).promoted


def test_not_a_number_never_wins_and_always_loses():
    assert not decide(score=math.nan).promoted
    assert decide(old_score=math.nan, p_value=math.nan).promoted


def test_a_champion_of_unknown_size_is_no_obstacle():
    decision = decide(old_images=None)
    assert decision.promoted
    assert status(decision)["images"] == "skipped"


def test_the_exposure_of_the_champion_is_reported():
    reasons = [
        next(check.reason for check in decide(**changes).checks if check.name == "comparable")
        for changes in ({}, {"exposed": 7}, {"recorded": False})
    ]
    assert reasons[0] == "measured on the same test images as champion version 3"
    assert reasons[1].startswith(f"{reasons[0]}, except 7 that the champion was trained or selected on")
    assert (
        reasons[2]
        == f"{reasons[0]}; it is unknown what the champion was trained on, so the champion's score may be too high"
    )


def test_weights_of_unknown_provenance_are_accepted_and_reported():
    decision = decide(unrecorded="others.keras")
    assert decision.promoted
    assert "unknown whether the initial weights (others.keras) were trained on test images" in decision.checks[1].reason


@pytest.mark.parametrize(
    ("compared", "now", "change"),
    [
        (None, "4", "from no champion to version 4"),
        ("3", "4", "from version 3 to version 4"),
        ("3", None, "from version 3 to no champion"),
    ],
)
def test_a_champion_that_changed_meanwhile_stays(compared, now, change):
    late = reconsider(decide(), compared, now)
    assert late.alias == "challenger"
    assert late.reason == f"the champion changed after the comparison, {change}"
    assert status(late) == dict.fromkeys(CHECKS, "passed") | {"comparable": "failed"}
    assert reconsider(decide(policy="always"), compared, now).promoted
    assert reconsider(decide(), compared, compared) == decide()
    assert reconsider(decide(score=0.1), compared, now) == decide(score=0.1)


@settings(max_examples=50)
@given(
    scores,
    scores,
    st.sampled_from(["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]),
    st.sampled_from(["strict", "better"]),
)
def test_two_models_never_both_win_and_one_does_unless_equal(one, other, metric, policy):
    wins = [
        decide(metric=metric, score=a, old_score=b, policy=policy).promoted for a, b in ((one, other), (other, one))
    ]
    assert sum(wins) == (one != other)


@settings(max_examples=50)
@given(scores, scores, scores, scores, st.sampled_from(["strict", "better", "always"]))
def test_what_a_looser_policy_refuses_a_stricter_one_refuses_too(score, p_value, ece, parity, policy):
    changes = {"score": score, "p_value": p_value, "ece_rise": ece, "parity": parity / 1e4}
    strict, loose = decide(**changes), decide(policy=policy, **changes)
    assert loose.promoted or not strict.promoted
    assert "\n" not in strict.reason
