import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.splits import SPLITS, class_names, count_splits, split_labels

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def table(groups: list[tuple[str, str, int]], given_split: dict[str, str] | None = None) -> pd.DataFrame:
    """(group, label, pictures) → labels."""
    rows = [(f"{name}/{n}", label, name) for name, label, count in groups for n in range(count)]
    frame = pd.DataFrame(rows, columns=["path", "label", "group"])
    return frame.assign(
        source_split=frame["group"].map(given_split or {}).astype(object).where(lambda s: s.notna(), None)
    )


@st.composite
def labels(draw: st.DrawFn) -> pd.DataFrame:
    classes = draw(st.integers(2, 5))
    groups = []
    for number in range(classes):
        sizes = draw(st.lists(st.integers(1, 12), min_size=6, max_size=40))
        groups += [(f"c{number}g{index}", f"class {number}", size) for index, size in enumerate(sizes)]
    return table(groups)


@settings(max_examples=60)
@given(labels(), st.integers(0, 1000))
def test_no_group_on_two_sides_nothing_lost_and_every_class_everywhere(frame: pd.DataFrame, seed: int) -> None:
    split = split_labels(frame, FRACTIONS, seed)
    assert len(split) == len(frame)
    assert split.groupby("group")["split"].nunique().max() == 1
    counts = count_splits(split)
    assert counts["images"].sum() == len(frame)
    assert (counts["images"] > 0).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_class_shares_are_kept_within_a_group(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [(f"{c}-{g}", f"class {c}", int(rng.integers(1, 9))) for c in range(classes) for g in range(60)]
    frame = table(groups)
    split = split_labels(frame, FRACTIONS, seed)
    totals = frame["label"].value_counts()
    for (side, label), count in split.groupby(["split", "label"]).size().items():
        assert abs(count - FRACTIONS[side] * totals[label]) <= 9  # no group is larger


def test_the_seed_decides() -> None:
    frame = table([(f"{label}{n}", label, 3) for label in "ab" for n in range(20)])
    first = split_labels(frame, FRACTIONS, 1)
    pd.testing.assert_frame_equal(first, split_labels(frame, FRACTIONS, 1))
    assert (first["split"] != split_labels(frame, FRACTIONS, 2)["split"]).any()


def test_a_given_split_is_honoured() -> None:
    given_split = {"a0": "train", "a1": "validation", "a2": "test", "b0": "train", "b1": "validation", "b2": "test"}
    frame = table([(name, name[0], 2) for name in given_split], given_split)
    split = split_labels(frame, FRACTIONS, 0)
    assert split["split"].tolist() == frame["source_split"].tolist()


def test_a_missing_validation_split_is_taken_from_train() -> None:
    groups = [(f"{label}{n}", label, 2) for label in "ab" for n in range(10)]
    given_split = {name: "test" if name.endswith("0") else "train" for name, *_ in groups}
    split = split_labels(table(groups, given_split), FRACTIONS, 0)
    assert set(split.loc[split["source_split"] == "test", "split"]) == {"test"}
    assert set(split.loc[split["source_split"] == "train", "split"]) == {"train", "validation"}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([("a", "only", 5)], "at least two classes are needed, found only 'only'"),
        ([], "found none"),
        ([(f"a{n}", "a", 3) for n in range(9)] + [("b0", "b", 9), ("b1", "b", 9)], "class 'b' has 2"),
    ],
)
def test_impossible_requests_say_what_is_missing(groups: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_labels(table(groups), FRACTIONS, 0)


def test_a_given_split_that_lacks_a_class_is_refused() -> None:
    given_split = {"a0": "train", "b0": "train", "a1": "test", "b1": "test", "a2": "validation"}
    with pytest.raises(InputError, match="'validation' has no image of class 'b'"):
        split_labels(table([(name, name[0], 2) for name in given_split], given_split), FRACTIONS, 0)


def test_counts_name_every_split_and_class() -> None:
    frame = table([(f"{label}{n}", label, 1) for label in "ab" for n in range(10)])
    counts = count_splits(split_labels(frame, FRACTIONS, 0))
    assert counts[["split", "label"]].values.tolist() == [[split, label] for split in SPLITS for label in "ab"]
    np.testing.assert_allclose(counts.groupby("split")["share"].sum(), 1)
    assert class_names(frame) == ["a", "b"]
