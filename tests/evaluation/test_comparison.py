import numpy as np
import pandas as pd
import pytest
from evaluation_kit import predictions_of
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from goodbad_pipeline.evaluation.bootstrap import resample_groups
from goodbad_pipeline.evaluation.comparison import compare_slices, measure_gain, measure_rise
from goodbad_pipeline.evaluation.metrics import classification_metrics
from goodbad_pipeline.evaluation.promotion import Champion, Evidence, Rules, decide_promotion

RULES = Rules("strict", significance=0.025, max_ece_rise=0.02, max_slice_drop=0.05, parity_tolerance=1e-5)


def images(rng, groups=40):
    codes = np.repeat(np.arange(groups), rng.integers(2, 10, groups))
    return (np.arange(groups) % 2)[codes], codes


def simulate(rng, y_true, codes, signal=1.2, sure=1.0):
    """Simulate predictions whose errors are correlated within a group."""
    hard = rng.normal(0, 0.8, codes.max() + 1)[codes]
    logits = ((2 * y_true - 1) * signal + hard + rng.normal(0, 1, len(y_true))) * 2 * sure
    scores = 1 / (1 + np.exp(-logits))
    probabilities = np.stack([1 - scores, scores], axis=1)
    return predictions_of(y_true, probabilities)


def decide(y_true, codes, new, old, metric="balanced_accuracy", replicates=400, **changes):
    resamples = resample_groups(codes, replicates, 0)
    gain = measure_gain(new, old, resamples, metric, seed=0)
    ece = [classification_metrics(y_true, one.probabilities)["ece"] for one in (new, old)]
    current = Champion(
        "1",
        gain.champion,
        gain.p_value,
        ece[1],
        images=100,
        same_predictions=bool((new.predicted == old.predicted).all()),
        ece_rise=measure_rise("ece", new, old, resamples).low,
    )
    facts = {"leaks": (), **changes}
    return decide_promotion(Evidence(metric, gain.challenger, ece[0], 100, 0.0, champion=current, **facts), RULES)


def failed(decision):
    return [check.name for check in decision.checks if check.status == "failed"]


def test_a_better_model_takes_over():
    rng = np.random.default_rng(0)
    y_true, codes = images(rng)
    decision = decide(y_true, codes, simulate(rng, y_true, codes, 2.5), simulate(rng, y_true, codes, 0.8))
    assert decision.promoted, decision.reason


def test_a_worse_model_does_not():
    rng = np.random.default_rng(1)
    y_true, codes = images(rng)
    decision = decide(y_true, codes, simulate(rng, y_true, codes, 0.5), simulate(rng, y_true, codes, 2))
    assert {"score", "chance"} <= set(failed(decision))


def test_the_same_model_again_stays_challenger():
    rng = np.random.default_rng(2)
    y_true, codes = images(rng)
    model = simulate(rng, y_true, codes)
    decision = decide(y_true, codes, model, model)
    assert failed(decision) == ["score", "chance"]
    assert "all predictions are the same" in decision.reason


def test_a_model_that_is_luckily_better_stays_challenger():
    rng = np.random.default_rng(3)
    y_true, codes = images(rng, groups=12)
    old = simulate(rng, y_true, codes)
    lucky = old.predicted.copy()
    lucky[np.flatnonzero(lucky != y_true)[:2]] ^= 1  # right on two images more
    decision = decide(y_true, codes, predictions_of(y_true, old.probabilities, lucky), old)
    assert failed(decision) == ["chance"]
    assert "not significant" in decision.reason


def test_a_better_but_uncalibrated_model_stays_challenger():
    rng = np.random.default_rng(4)
    y_true, codes = images(rng, groups=200)
    decision = decide(
        y_true, codes, simulate(rng, y_true, codes, 1.0, sure=20), simulate(rng, y_true, codes, 0.3, sure=0.15)
    )
    assert failed(decision) == ["calibration"]


@pytest.mark.parametrize("count", [80, pytest.param(400, marks=pytest.mark.slow)])
def test_two_perfectly_calibrated_models_have_no_significant_rise(count):
    rng = np.random.default_rng(count)
    worse = plainly = 0
    for seed in range(100):
        y_true, codes = rng.integers(0, 2, count), np.arange(count)
        new, old = (calibrated(rng, y_true) for _ in range(2))
        rise = measure_rise("ece", new, old, resample_groups(codes, 300, seed))
        worse += rise.low > RULES.max_ece_rise
        plainly += rise.value > RULES.max_ece_rise
    assert worse <= 1
    assert plainly >= 3  # by the errors alone


def calibrated(rng, y_true):
    """Simulate a perfectly calibrated model of a normally distributed feature."""
    signals = rng.normal((2 * y_true - 1) * 1.2, 1.0)
    scores = 1 / (1 + np.exp(-2.4 * signals))
    probabilities = np.stack([1 - scores, scores], axis=1)
    return predictions_of(y_true, probabilities)


def test_a_better_but_leaky_model_stays_challenger():
    rng = np.random.default_rng(0)
    y_true, codes = images(rng)
    new, old = simulate(rng, y_true, codes, 2.5), simulate(rng, y_true, codes, 0.8)
    decision = decide(y_true, codes, new, old, leaks=("3 groups lie in more than one split (first: x)",))
    assert failed(decision) == ["leakage"]


def promotions(metric, pairs=200):
    rng = np.random.default_rng(5)
    count = 0
    for _ in range(pairs):
        y_true, codes = images(rng, groups=int(rng.integers(8, 50)))
        new, old = (simulate(rng, y_true, codes) for _ in range(2))
        gain = measure_gain(new, old, resample_groups(codes, 200, 0), metric, seed=0)
        count += gain.challenger != gain.champion and gain.p_value <= RULES.significance
    return count


@pytest.mark.no_cover
@pytest.mark.parametrize("metric", ["balanced_accuracy", "log_loss"])
def test_equally_good_models_are_rarely_promoted(metric):
    assert promotions(metric) <= 10  # of 200 pairs, 5 %


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "roc_auc"])
def test_equally_good_models_are_rarely_promoted_on_other_metrics(metric):
    assert promotions(metric) <= 10


@pytest.mark.no_cover
@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "log_loss"])
def test_the_p_value_is_the_share_of_swaps_with_at_least_the_gain(metric):
    rng = np.random.default_rng(6)
    y_true, codes = images(rng, groups=10)
    new, old = simulate(rng, y_true, codes, 1.5), simulate(rng, y_true, codes)
    gain = measure_gain(new, old, resample_groups(codes, 300, 0), metric, seed=9)
    sign = -1 if metric == "log_loss" else 1

    def score(model):
        return sign * classification_metrics(y_true, model.probabilities, predicted=model.predicted)[metric]

    swaps = np.random.default_rng([9, 1]).integers(0, 2, (300, 10))
    as_good = 0
    for swap in swaps:
        taken = swap[codes] == 1
        mixed, rest = (
            predictions_of(
                y_true,
                np.where(mask[:, None], new.probabilities, old.probabilities),
                np.where(mask, new.predicted, old.predicted),
            )
            for mask in (taken, ~taken)
        )
        as_good += score(mixed) - score(rest) >= score(new) - score(old) - 1e-12
    assert gain.p_value == pytest.approx((1 + as_good) / 301)
    assert gain.difference.value == pytest.approx(score(new) - score(old))
    assert gain.difference.low <= gain.difference.value <= gain.difference.high
    reference = {"balanced_accuracy": balanced_accuracy_score(y_true, new.predicted)}
    reference["roc_auc"] = roc_auc_score(y_true, new.probabilities[:, 1])
    assert gain.challenger == pytest.approx(reference.get(metric, gain.challenger))


def test_many_classes_are_ranked_one_by_one():
    rng = np.random.default_rng(7)
    y_true, codes = np.resize([0, 1, 2], 60), np.arange(60) // 3
    new, old = (predictions_of(y_true, p) for p in (rng.dirichlet(np.ones(3), 60) for _ in range(2)))
    gain = measure_gain(new, old, resample_groups(codes, 200, 0), "roc_auc", seed=0)
    assert gain.challenger == pytest.approx(roc_auc_score(y_true, new.probabilities, multi_class="ovr"))
    assert 0 < gain.p_value <= 1


def test_only_the_slice_that_fell_has_a_significant_difference():
    count = 160
    values = pd.DataFrame({"hair": np.where(np.arange(count) % 4 < 2, "red", "grey")})
    old = np.ones(count, bool)
    new = old & ~((values["hair"] == "red").to_numpy() & (np.arange(count) % 8 == 0))
    rows = compare_slices(values, new, old, resample_groups(np.arange(count) // 4, 500, 0)).set_index("value")
    assert rows.loc["red", "difference"] == pytest.approx(-0.25)
    assert rows.loc["red", "high"] < 0
    assert rows.loc["grey", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert rows.loc["red", ["images", "groups", "challenger", "champion"]].tolist() == [80, 40, 0.75, 1.0]
