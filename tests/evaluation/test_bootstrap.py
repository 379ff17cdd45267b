import numpy as np
import pandas as pd
import pytest
from evaluation_kit import predictions_of
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.evaluation.bootstrap import bootstrap_interval, expanded_tail, resample_groups
from goodbad_pipeline.evaluation.metrics import (
    group_statistics,
    interval_table,
    per_class_metrics,
    ranking_metrics,
    resampled_metrics,
    summed_metrics,
)


def grouped(rng, groups, signal=1.0, spread=1.0, *, drawn=False):
    """Images of groups that are harder or easier as a whole; truth, probabilities and group of each.

    There are as many groups of either class, or classes are drawn as well.
    """
    sizes = rng.integers(3, 15, groups)
    codes = np.repeat(np.arange(groups), sizes)
    y_true = (rng.integers(0, 2, groups) if drawn else np.arange(groups) % 2)[codes]
    logits = (2 * y_true - 1) * signal + rng.normal(0, spread, groups)[codes] + rng.normal(0, 1, len(codes))
    scores = 1 / (1 + np.exp(-logits))
    return y_true, np.stack([1 - scores, scores], axis=1), codes


def count_covered(names, rounds, measure, draw, many):
    """How often the interval of each metric holds its true value.

    Args:
        names: Rows of what `measure` gives.
        rounds: Test splits that are drawn.
        measure: (labels, probabilities, resamples) to a table by metric: value, low, high.
        draw: Random numbers to labels, probabilities and groups of a test split.
        many: The same of so many groups that their metrics are the true ones.
    """
    rng = np.random.default_rng(rounds)
    labels, probabilities, codes = many(rng)
    true = measure(labels, probabilities, resample_groups(codes, 0, 0))["value"]
    covered = dict.fromkeys(names, 0)
    for seed in range(rounds):
        labels, probabilities, codes = draw(rng)
        rows = measure(labels, probabilities, resample_groups(codes, 500, seed))
        for name in names:
            covered[name] += rows.loc[name, "low"] <= true[name] <= rows.loc[name, "high"]
    return {name: count / rounds for name, count in covered.items()}


def covered_by_groups(names, groups, rounds, measure, *, drawn=False):
    """The same for test splits of so many groups."""
    few, many = (lambda rng, count=count: grouped(rng, count, drawn=drawn) for count in (groups, 20_000))
    return count_covered(names, rounds, measure, few, many)


def additive(labels, probabilities, resamples):
    sums = group_statistics(labels, probabilities, probabilities.argmax(axis=1), resamples.codes)
    return by_metric(summed_metrics(sums.mix(resamples.weights)), labels, resamples)


def every_metric(labels, probabilities, resamples):
    return by_metric(resampled_metrics(labels, probabilities, resamples), labels, resamples)


def by_metric(metrics, labels, resamples):
    return interval_table(metrics, labels, resamples).set_index("metric")


def by_class(labels, probabilities, resamples):
    """Intervals of the second class alone."""
    row = per_class_metrics(predictions_of(labels, probabilities), resamples).loc[1]
    ends = {"value": "", "low": "_low", "high": "_high"}
    scores = ("precision", "recall", "f1")
    return pd.DataFrame({end: [row[f"{score}{suffix}"] for score in scores] for end, suffix in ends.items()}, scores)


@pytest.mark.no_cover
@pytest.mark.parametrize("groups", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_the_interval_covers_the_true_value_19_times_in_20(groups):
    shares = covered_by_groups(
        ["accuracy", "balanced_accuracy", "f1_macro", "brier", "log_loss"], groups, 600, additive
    )
    assert all(0.92 <= share <= 0.98 for share in shares.values()), shares


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize("groups", [24, 60, 150])
def test_the_interval_of_ranking_metrics_covers_the_true_value_19_times_in_20(groups):
    shares = covered_by_groups(["accuracy", "roc_auc", "average_precision"], groups, 1000, every_metric)
    noise = 2 * (0.02 * 0.98 / 1000) ** 0.5  # of the simulation: average precision of 150 groups comes out at 0.982
    assert all(0.92 <= share <= 0.98 + noise for share in shares.values()), shares


@pytest.mark.parametrize("groups", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_the_interval_of_a_class_covers_the_true_value_19_times_in_20(groups):
    shares = covered_by_groups(["precision", "recall", "f1"], groups, 400, by_class, drawn=True)
    assert all(0.92 <= share <= 0.98 for share in shares.values()), shares


def rare(rng, scarce, groups=200, recall=0.8, false=0.05):
    """Images that are a group each, few of them of class 1: how many of 200 or, of the many, their share."""
    y_true = (np.arange(groups) < scarce).astype(int)
    predicted = np.where(rng.random(groups) < np.where(y_true, recall, 1 - false), y_true, 1 - y_true)
    return y_true, np.eye(2)[predicted], np.arange(groups)


@pytest.mark.slow
@pytest.mark.parametrize(("scarce", "least", "most"), [(8, 0.97, 1), (15, 0.97, 1), (30, 0.89, 0.98), (60, 0.92, 0.98)])
def test_the_interval_of_a_rare_class_is_wide_enough(scarce, least, most):
    """A recall out of 8 or 15 has few values: intervals that hold the true one are too wide. Of 30, 9 in 10 hold it."""
    shares = count_covered(
        ["precision", "recall", "f1"],
        400,
        by_class,
        lambda rng: rare(rng, scarce),
        lambda rng: rare(rng, scarce * 1000, 200_000),
    )
    assert all(least <= share <= most for share in shares.values()), shares


def test_the_interval_of_a_class_rests_on_its_own_groups():
    y_true = (np.arange(200) < 8).astype(int)
    rows = by_class(y_true, np.eye(2)[y_true], resample_groups(np.arange(200), 500, 0))
    assert rows["low"].tolist() == pytest.approx([0.025 ** (1 / 8)] * 3)  # Clopper and Pearson: 0.63
    shuffled = y_true.copy()
    shuffled[8:38] = 1
    rows = by_class(y_true, np.eye(2)[shuffled], resample_groups(np.arange(200), 500, 0))
    assert rows.loc["recall", "low"] == pytest.approx(0.025 ** (1 / 8))
    assert 0.05 < rows.loc["precision", "low"] < 8 / 38 < rows.loc["precision", "high"] < 0.4  # of 38 such predictions


def test_resamples_without_the_class_do_not_lower_its_interval_to_0():
    y_true = np.array([1, 1, 1, *[0] * 37])
    rows = by_class(y_true, np.eye(2)[y_true], resample_groups(np.arange(40), 500, 0))  # 1 in 20 draws has none of it
    assert rows["low"].tolist() == pytest.approx([0.025 ** (1 / 3)] * 3)


def test_images_of_one_group_are_not_independent():
    labels, probabilities, codes = grouped(np.random.default_rng(0), 30)

    def width(groups):
        resamples = resample_groups(groups, 1000, 0)
        table = interval_table(resampled_metrics(labels, probabilities, resamples), labels, resamples).set_index(
            "metric"
        )
        return table.loc["accuracy", "high"] - table.loc["accuracy", "low"]

    assert width(codes) > 1.4 * width(np.arange(len(codes)))


def test_a_perfect_score_on_few_groups_is_no_certainty():
    y_true = np.repeat([0, 1], 20)
    probabilities = np.where(y_true[:, None] == [0, 1], 0.9, 0.1)
    resamples = resample_groups(np.arange(40) // 4, 500, 0)
    table = interval_table(resampled_metrics(y_true, probabilities, resamples), y_true, resamples).set_index("metric")
    for name, groups in (("accuracy", 10), ("balanced_accuracy", 5), ("f1_macro", 5), ("roc_auc", 5)):
        assert table.loc[name, "value"] == table.loc[name, "high"] == 1
        assert table.loc[name, "low"] == pytest.approx(0.025 ** (1 / groups))  # all of them: Clopper and Pearson


@pytest.mark.parametrize(("value", "low", "high"), [(0, 0, 0.308), (0.25, 0.173, 0.481), (1, 0.692, 1)])
def test_ten_equal_groups_have_an_interval(value, low, high):
    interval = bootstrap_interval(np.full(101, value, dtype=float), 10, share=True)
    assert [interval.low, interval.high] == pytest.approx([low, high], abs=1e-3)


def test_one_group_has_no_interval():
    resamples = resample_groups(np.zeros(6), 100, 0)
    interval = bootstrap_interval(np.full(101, 0.5), resamples.groups)
    assert interval.value == 0.5
    assert np.isnan([interval.low, interval.high]).all()


def test_fewer_groups_cut_off_less():
    assert expanded_tail(5) < expanded_tail(20) < expanded_tail(1000) == pytest.approx(0.025, rel=0.02)


def test_the_first_row_is_the_sample_and_each_draw_has_as_many_groups():
    resamples = resample_groups(np.array(["b", "a", "b", "c"]), 50, 3)
    assert resamples.codes.tolist() == [0, 1, 0, 2]
    assert resamples.weights.shape == (51, 3)
    assert (resamples.weights[0] == 1).all()
    assert (resamples.weights.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(resamples.weights, resample_groups(np.array([2, 1, 2, 0]), 50, 3).weights)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 8))
def test_a_resample_scores_as_the_images_drawn(seed, groups, levels):
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(seed)
    codes = rng.integers(0, groups, 40)
    positive = np.r_[True, False, rng.random(38) < 0.4]
    scores = rng.integers(0, levels, 40) / levels  # ties
    resamples = resample_groups(codes, 5, seed)
    areas, precisions = ranking_metrics(positive, scores, resamples)
    for weights, area, precision in zip(resamples.weights, areas, precisions, strict=True):
        drawn = np.repeat(np.arange(40), weights[resamples.codes].astype(int))
        if positive[drawn].any() and not positive[drawn].all():
            assert area == pytest.approx(roc_auc_score(positive[drawn], scores[drawn]))
            assert precision == pytest.approx(average_precision_score(positive[drawn], scores[drawn]))
        else:
            assert np.isnan(area)


def test_blocks_do_not_change_the_ranking(monkeypatch):
    from goodbad_pipeline.evaluation import metrics as ranking

    labels, probabilities, codes = grouped(np.random.default_rng(1), 9)
    resamples = resample_groups(codes, 20, 0)
    whole = ranking_metrics(labels == 1, probabilities[:, 1], resamples)
    monkeypatch.setattr(ranking, "BLOCK", 100)
    np.testing.assert_array_equal(ranking_metrics(labels == 1, probabilities[:, 1], resamples), whole)


def test_the_calibration_error_has_no_interval():
    labels, probabilities, codes = grouped(np.random.default_rng(2), 30)
    row = every_metric(labels, probabilities, resample_groups(codes, 200, 0)).loc["ece"]
    assert row["value"] > 0
    assert np.isnan([row["low"], row["high"]]).all()
