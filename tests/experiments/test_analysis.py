import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from goodbad_pipeline.experiments.analysis import (
    compare,
    conclude,
    explain_interval,
    nest,
    rank_finalists,
    rank_networks,
    summarise_trials,
)


def trials(**accuracies: list[float]) -> pd.DataFrame:
    rows = [
        (name, seed, value, 1 - value, 1.0, f"{name} {seed}")
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["network", "seed", "val_accuracy", "val_loss", "seconds", "cache_key"])


def test_mean_spread_and_interval_over_seeds():
    summary = summarise_trials(trials(a=[0.5, 0.6, 0.7], b=[0.8, 0.8, 0.8]), groups=10**9).set_index("network")
    assert summary["accuracy"].tolist() == pytest.approx([0.6, 0.8])
    assert summary["spread"].tolist() == pytest.approx([0.1, 0.0])
    # The spread is pooled over both networks: variance 0.01 · 2 / 4, four degrees of freedom.
    half = student.ppf(0.975, 4) * (0.005 / 3) ** 0.5
    assert (summary["high"] - summary["accuracy"]).tolist() == pytest.approx([half, half], rel=1e-4)


def test_few_groups_widen_the_interval_even_where_seeds_agree():
    few, many = (summarise_trials(trials(a=[0.8, 0.8]), groups) for groups in (50, 5000))
    assert few["low"][0] < 0.7
    assert 0.78 < many["low"][0] < 0.8
    assert few["seeds"][0] == 2


@settings(max_examples=30)
@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=5), st.integers(1, 10**4))
def test_means_lie_in_their_intervals_and_those_in_0_to_1(accuracies, groups):
    summary = summarise_trials(trials(**{f"n{i}": values for i, values in enumerate(accuracies)}), groups)
    if summary["low"].isna().any():
        assert (summary["seeds"] == 1).all()
        return
    assert (summary["low"] >= 0).all()
    assert (summary["high"] <= 1).all()
    assert (summary["low"] <= summary["accuracy"] + 1e-12).all()
    assert (summary["accuracy"] <= summary["high"] + 1e-12).all()


def test_ranked_by_mean_accuracy_then_by_loss():
    table = trials(a=[0.5, 0.7], b=[0.9, 0.9], c=[0.6, 0.6])
    table.loc[table["network"] == "c", "val_loss"] = 0.1
    ranked = rank_networks(summarise_trials(table, 100))
    assert ranked["network"].tolist() == ["b", "c", "a"]
    assert ranked["rank"].tolist() == [1, 2, 3]


def test_overlapping_intervals_show_no_difference():
    summary = summarise_trials(trials(a=[0.70, 0.74], b=[0.72, 0.76]), 80)
    assert compare(summary, "b", ["a"]) == (
        "b (0.740) has an interval that overlaps with a (0.720): these data show no difference."
    )


def test_separate_intervals_are_reported_for_both_sides():
    summary = summarise_trials(trials(a=[0.5, 0.51], b=[0.95, 0.96], c=[0.93, 0.94]), 400)
    assert compare(summary, "b", ["a", "c"]) == (
        "b (0.955) lies above a (0.505), and the intervals, from 400 groups of images, do not overlap; it has "
        "an interval that overlaps with c (0.935): these data show no difference."
    )
    assert compare(summary, "a", ["b", "c"]) == (
        "a (0.505) lies below b (0.955) and c (0.935), and the intervals, from 400 groups of images, do not overlap."
    )


def test_one_seed_allows_no_comparison():
    summary = summarise_trials(trials(a=[0.5], b=[0.9]), 400)
    assert np.isnan(summary["low"]).all()
    assert compare(summary, "b", ["a"]) == "b (0.900): one seed per network allows no comparison; give more seeds."
    assert explain_interval(summary, 400).startswith("No intervals")


def test_the_interval_is_explained():
    summary = summarise_trials(trials(a=[0.5, 0.6], b=[0.7, 0.8]), 11)
    text = explain_interval(summary, 83)
    assert "One covers the seeds (t, spread pooled over 2 networks, 2 degrees of freedom)" in text
    assert "the other the 83 validation images in 11 groups" in text


def test_networks_of_the_same_layers_count_once():
    table = trials(a=[0.5, 0.6], b=[0.7, 0.75], c=[0.7, 0.75])
    table.loc[table["network"] == "c", "cache_key"] = ["b 0", "b 1"]
    summary = summarise_trials(table, 50)
    assert summary["same_as"].fillna("").tolist() == ["", "", "b"]
    alone = summarise_trials(table[table["network"] != "c"], 50)
    pd.testing.assert_frame_equal(summary.iloc[:2], alone, check_dtype=False)
    assert summary["high"][2] == summary["high"][1]
    assert explain_interval(summary, 80) == explain_interval(alone, 80)


def test_tables_of_older_versions_have_the_cache_key_under_its_old_name():
    table = trials(a=[0.5, 0.6], b=[0.7, 0.8])
    old = table.rename(columns={"cache_key": "fingerprint"})
    pd.testing.assert_frame_equal(summarise_trials(old, 50), summarise_trials(table, 50))


def finals(**scores: list[float]) -> pd.DataFrame:
    rows = [
        {
            "network": "present parameters" if name == "t0" else f"trial {name[1:]}",
            "trial": int(name[1:]),
            "seed": seed,
            "values": f'{{"training.ema": {name[1:]}}}',
            "cache_key": f"{name} {seed}",
            "val_log_loss": score,
            "val_accuracy": 1 - score,
            "val_loss": score,
            "seconds": 1.0,
        }
        for name, values in scores.items()
        for seed, score in enumerate(values)
    ]
    return pd.DataFrame(rows)


def ranked(table: pd.DataFrame, metric: str = "val_log_loss") -> pd.DataFrame:
    return rank_finalists(table, metric, larger_is_better=metric == "val_accuracy", groups=12)


@pytest.mark.parametrize("metric", ["val_log_loss", "val_accuracy"])
def test_the_mean_over_seeds_decides_not_the_luckiest_one(metric: str) -> None:
    table = ranked(finals(t0=[0.4, 0.4, 0.4], t5=[0.1, 0.6, 0.8], t7=[0.3, 0.35, 0.3]), metric)
    assert table["trial"].tolist() == [7, 0, 5]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["values"].iloc[0] == '{"training.ema": 7}'


def test_a_tie_is_the_present_parameters() -> None:
    table = finals(t3=[0.4, 0.4], t0=[0.4, 0.4])
    assert ranked(table)["trial"].tolist() == [0, 3]
    assert "Nothing better than the present parameters was found" in conclude(ranked(table), table, "val_log_loss", 12)


def test_a_finalist_that_one_seed_did_not_finish_comes_last() -> None:
    assert ranked(finals(t0=[0.4, 0.4], t3=[0.1]))["trial"].tolist() == [0, 3]


def test_the_conclusion_claims_no_more_than_the_data_show() -> None:
    table = finals(t0=[0.40, 0.42, 0.41], t7=[0.38, 0.39, 0.40])
    conclusion = conclude(ranked(table), table, "val_log_loss", 12)
    assert conclusion.startswith("trial 7 is best (mean val_log_loss over 3 seeds: 0.3900, present 0.4100).")
    assert "these data show no difference" in conclusion
    assert "the test split was not used" in conclusion
    alone = finals(t7=[0.3, 0.3])
    assert "No training with the present parameters was complete" in conclude(ranked(alone), alone, "val_log_loss", 12)


def test_dotted_names_become_groups() -> None:
    assert nest({"training.ema": 1, "training.augmentation.zoom": 0, "model.dropout": None}) == {
        "training": {"ema": 1, "augmentation": {"zoom": 0}},
        "model": {"dropout": None},
    }
