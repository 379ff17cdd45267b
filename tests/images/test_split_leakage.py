import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.images.split_leakage import Thumbnails, measure_leaks


def frames(groups: int, per_group: int, *, torn: bool) -> tuple[pd.DataFrame, Thumbnails]:
    """Groups of near-duplicates with random labels, split by group or with divided groups."""
    rng = np.random.default_rng(3)
    looks = rng.integers(0, 240, (groups, 192))
    thumbnails = np.repeat(looks, per_group, axis=0) + rng.integers(0, 10, (groups * per_group, 192))
    number = np.repeat(np.arange(groups), per_group)
    side = np.where(number % 4 == 0, "test", "train")
    if torn:
        side = np.where(np.arange(len(number)) % per_group == 0, "test", "train")
    table = pd.DataFrame(
        {
            "image_id": [f"{row:064x}" for row in range(len(number))],
            "label": np.where(rng.random(groups) < 0.5, "bad", "good")[number],
            "group": [f"group {n}" for n in number],
            "copies": [f"copies {n}" if row % per_group < 2 else f"alone {row}" for row, n in enumerate(number)],
            "split": side,
        }
    )
    return table, thumbnails.astype(np.uint8).__getitem__


def test_a_plain_split_leaks_what_a_split_by_group_does_not() -> None:
    table, metrics = measure_leaks(*frames(60, 5, torn=False), seed=0)
    plain, ours = table.set_index("split").loc[["plain random", "this one"]].to_dict("records")
    assert (ours["copy_in_train"], ours["group_in_train"], ours["test_images"]) == (0, 0, 75)
    assert plain["test_images"] == 75
    assert 60 <= plain["group_in_train"] <= 75
    assert 0 < plain["copy_in_train"] < plain["group_in_train"]
    assert plain["nearest_accuracy_leaked"] == 1  # a copy in train has the label
    assert ours["nearest_accuracy"] < 0.8  # without copies, labels are random
    assert np.isnan(ours["nearest_accuracy_leaked"])
    gain = pytest.approx(plain["nearest_accuracy"] - ours["nearest_accuracy"])
    assert metrics["leak_accuracy_gain"] == metrics["leak_worth"] == gain
    assert metrics["leak_plain_group_in_train"] == round(plain["group_in_train"] / 75, 4)


def test_a_split_that_divides_groups_is_reported() -> None:
    ours = measure_leaks(*frames(30, 4, torn=True), seed=0)[0].set_index("split").loc["this one"]
    assert (ours["group_in_train"], ours["copy_in_train"]) == (30, 30)
    assert ours["nearest_accuracy"] == 1


def test_few_of_many_test_images_are_probed_and_train_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = measure_leaks(*frames(40, 5, torn=False), seed=1)
    monkeypatch.setattr("goodbad_pipeline.images.split_leakage.BLOCK", 7)
    pd.testing.assert_frame_equal(measure_leaks(*frames(40, 5, torn=False), seed=1)[0], whole)
    monkeypatch.setattr("goodbad_pipeline.images.split_leakage.MAX_PROBED", 10)
    assert measure_leaks(*frames(40, 5, torn=False), seed=1)[0]["probed"].tolist() == [10, 10]


def test_a_repeated_file_is_compared_once_with_the_same_result() -> None:
    table, thumbnails = frames(40, 5, torn=False)
    once = measure_leaks(table, thumbnails, seed=1)[0].set_index("split").loc["this one"]
    train = np.flatnonzero(table["split"] == "train")
    places = np.concatenate([np.arange(len(table)), np.repeat(train, 3)])
    seen: list[int] = []

    def noting(asked: np.ndarray) -> np.ndarray:
        seen.append(len(asked))
        return thumbnails(places[asked])

    often = measure_leaks(table.iloc[places].reset_index(drop=True), noting, seed=1)[0].set_index("split")
    assert often.loc["this one", "nearest_accuracy"] == once["nearest_accuracy"]
    assert seen[-1] == len(train)
