import pandas as pd
import pytest

from goodbad_pipeline.experiments.analysis import conclude, nest, rank_finalists


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
    assert "the present parameters do not train" in conclude(ranked(alone), alone, "val_log_loss", 12)


def test_dotted_names_become_groups() -> None:
    assert nest({"training.ema": 1, "training.augmentation.zoom": 0, "model.dropout": None}) == {
        "training": {"ema": 1, "augmentation": {"zoom": 0}},
        "model": {"dropout": None},
    }
