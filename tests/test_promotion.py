import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.promotion import HIGHER_IS_BETTER, decide_promotion

scores = st.floats(0, 1)


def test_the_first_model_becomes_champion():
    decision = decide_promotion({"balanced_accuracy": 0.9}, None)
    assert decision.alias == "champion"
    assert decision.reason == "no champion yet; balanced_accuracy 0.9000"
    assert decision.promoted
    assert decision.champion_value is None


def test_a_better_model_takes_over_and_both_numbers_are_told():
    decision = decide_promotion({"balanced_accuracy": 0.93}, {"balanced_accuracy": 0.91})
    assert decision.alias == "champion"
    assert decision.reason == "balanced_accuracy 0.9300 is better than the champion's 0.9100"
    assert (decision.challenger_value, decision.champion_value) == (0.93, 0.91)


@pytest.mark.parametrize("value", [0.9, 0.91])
def test_an_equal_or_worse_model_stays_challenger(value):
    decision = decide_promotion({"balanced_accuracy": value}, {"balanced_accuracy": 0.91})
    assert decision.alias == "challenger"
    assert decision.reason == f"balanced_accuracy {value:.4f} is no better than the champion's 0.9100"
    assert not decision.promoted


def test_lower_log_loss_is_better():
    better = decide_promotion({"log_loss": 0.2}, {"log_loss": 0.3}, "log_loss")
    assert better.alias == "champion"
    assert better.reason == "log_loss 0.2000 is better than the champion's 0.3000 (lower is better)"
    assert decide_promotion({"log_loss": 0.3}, {"log_loss": 0.2}, "log_loss").alias == "challenger"


def test_numbers_that_differ_read_differently():
    assert "0.900001 is better than the champion's 0.900000" in (
        decide_promotion({"accuracy": 0.900001}, {"accuracy": 0.9}, "accuracy").reason
    )


def test_what_cannot_be_compared_stays_challenger_with_the_reason():
    decision = decide_promotion(
        {"accuracy": 0.99}, {"accuracy": 0.5}, "accuracy", incomparable="it knows other classes (cat, dog)"
    )
    assert decision.alias == "challenger"
    assert decision.reason == "not comparable with the champion: it knows other classes (cat, dog)"
    assert decision.champion_value is None


def test_without_a_champion_there_is_nothing_to_be_incomparable_with():
    assert decide_promotion({"accuracy": 0.5}, None, "accuracy", incomparable="other classes").alias == "champion"


def test_a_champion_without_the_metric_cannot_be_compared():
    decision = decide_promotion({"accuracy": 0.99}, {"roc_auc": 0.5}, "accuracy")
    assert decision.alias == "challenger"
    assert "the champion has no accuracy on record" in decision.reason


@pytest.mark.parametrize("champion", [None, {"accuracy": 0.1}, {"accuracy": math.nan}])
def test_not_a_number_never_wins(champion):
    decision = decide_promotion({"accuracy": math.nan}, champion, "accuracy")
    assert decision.alias == "challenger"
    assert "not a number" in decision.reason


def test_a_champion_that_is_not_a_number_loses():
    assert decide_promotion({"accuracy": 0.1}, {"accuracy": math.nan}, "accuracy").alias == "champion"


def test_an_unknown_metric_is_refused_with_the_choice():
    with pytest.raises(InputError, match="'speed' is unknown; choose one of accuracy, balanced_accuracy"):
        decide_promotion({"speed": 1.0}, None, "speed")


def test_a_metric_that_the_model_lacks_is_refused():
    with pytest.raises(InputError, match="no 'roc_auc', only accuracy"):
        decide_promotion({"accuracy": 1.0}, None, "roc_auc")


def test_a_decision_cannot_be_changed():
    decision = decide_promotion({"accuracy": 1.0}, None, "accuracy")
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.alias = "challenger"


@settings(max_examples=50)
@given(scores, scores, st.sampled_from(sorted(HIGHER_IS_BETTER)))
def test_two_models_never_both_win_and_one_does_unless_equal(one, other, metric):
    wins = [decide_promotion({metric: a}, {metric: b}, metric).promoted for a, b in ((one, other), (other, one))]
    assert sum(wins) == (one != other)


@settings(max_examples=50)
@given(scores, scores, st.sampled_from(sorted(HIGHER_IS_BETTER)))
def test_the_reason_is_one_short_line(challenger, champion, metric):
    reason = decide_promotion({metric: challenger}, {metric: champion}, metric).reason
    assert "\n" not in reason
    assert len(reason) < 120
