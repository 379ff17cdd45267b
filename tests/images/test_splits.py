import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.splits import SPLITS, SplitSettings, assign_by_name, class_names, count_splits
from goodbad_pipeline.images.splits import split_labels as split_with

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def split_labels(frame: pd.DataFrame, seed: int, method: str = "stratified", **options: int) -> pd.DataFrame:
    return split_with(frame, SplitSettings(FRACTIONS, seed, method, **options))


def table(groups: list[tuple[str, str, int]], given_split: dict[str, str] | None = None) -> pd.DataFrame:
    """(group, label, images) → labels."""
    rows = [(f"{name}/{n}", label, name) for name, label, count in groups for n in range(count)]
    frame = pd.DataFrame(rows, columns=["path", "label", "group"])
    return frame.assign(
        copies=frame["path"],
        source_split=frame["group"].map(given_split or {}).astype(object).where(lambda s: s.notna(), None),
    )


@st.composite
def labels(draw: st.DrawFn) -> pd.DataFrame:
    """Two to five classes of six to twenty groups, each of one to nine images."""
    classes = draw(st.integers(2, 5))
    groups = []
    for number in range(classes):
        sizes = draw(st.lists(st.integers(1, 9), min_size=6, max_size=20))
        groups += [(f"c{number}g{index}", f"class {number}", size) for index, size in enumerate(sizes)]
    return table(groups)


@settings(max_examples=20)
@given(labels(), st.integers(0, 1000))
def test_no_group_is_divided_nothing_is_lost_and_every_split_has_every_class(frame: pd.DataFrame, seed: int) -> None:
    split = split_labels(frame, seed)
    assert len(split) == len(frame)
    assert split.groupby("group")["split"].nunique().max() == 1
    counts = count_splits(split)
    assert counts["images"].sum() == len(frame)
    assert (counts["images"] > 0).all()


@settings(max_examples=20)
@given(labels(), st.integers(0, 1000), st.sampled_from([None, 3, 5]))
def test_class_shares_are_kept_within_the_largest_groups(frame: pd.DataFrame, seed: int, folds: int | None) -> None:
    settings = SplitSettings(FRACTIONS, seed, folds=folds)
    sizes = frame.groupby(["label", "group"]).size()
    for row in count_splits(split_with(frame, settings)).itertuples():
        off = row.images - settings.shares[row.split] * sizes[row.label].sum()
        largest = sizes[row.label].max()
        if folds is None or row.split != "train":
            assert -((folds or 3) - 1) * largest - 1e-6 <= off <= largest + 1e-6


@settings(max_examples=30)
@given(labels(), labels(), st.integers(0, 1000), st.data())
def test_a_stable_assignment_does_not_depend_on_other_groups(
    frame: pd.DataFrame, other: pd.DataFrame, seed: int, data: st.DataObject
) -> None:
    before = assign_by_name(frame["group"], FRACTIONS, seed)
    gone = data.draw(st.sets(st.sampled_from(sorted(frame["group"].unique()))))
    kept = frame[~frame["group"].isin(gone)].assign(kept=True)
    more = other.assign(group="new " + other["group"])
    whole = pd.concat([more, kept, other], ignore_index=True)
    after = assign_by_name(whole["group"], FRACTIONS, seed)
    assert after[whole["kept"].notna()].tolist() == before[kept.index].tolist()
    assert after.groupby(whole["group"]).nunique().max() == 1


def test_added_or_removed_images_move_no_other_in_a_stable_split() -> None:
    frame = table([(f"{label}{n}", label, 1 + n % 4) for label in "ab" for n in range(60)])
    more = table([(f"{label}{n}", label, 2) for label in "abc" for n in range(30, 90)])
    whole = pd.concat([more.assign(path="more " + more["path"]), frame[7:]], ignore_index=True)
    before, after = (split_labels(part, 5, "stable").set_index("path")["split"] for part in (frame, whole))
    pd.testing.assert_series_equal(after[frame["path"][7:]], before[frame["path"][7:]])


def test_removed_images_move_others_in_a_stratified_split() -> None:
    frame = table([(f"{label}{n}", label, 3) for label in "ab" for n in range(40)])
    before, after = (split_labels(part, 0).set_index("path")["split"] for part in (frame, frame[3:]))
    assert (after != before[after.index]).any()


def test_stable_shares_hold_on_average() -> None:
    frame = table([(f"{label}{n}", label, 1) for label in "ab" for n in range(2000)])
    counts = count_splits(split_labels(frame, 0, "stable"))
    for row in counts.itertuples():
        deviation = np.sqrt(FRACTIONS[row.split] * (1 - FRACTIONS[row.split]) / 2000)
        assert abs(row.class_share - FRACTIONS[row.split]) < 4 * deviation


@pytest.mark.parametrize("method", ["stratified", "stable"])
def test_folds_test_every_image_once(method: str) -> None:
    frame = table([(f"{label}{n}", label, 1 + n % 4) for label in "ab" for n in range(60)])
    sides = [split_labels(frame, 3, method, folds=5, fold=fold)["split"] for fold in range(5)]
    for side in ("test", "validation"):
        assert (sum((split == side).astype(int) for split in sides) == 1).all()
    assert ((sides[0] == "validation") == (sides[1] == "test")).all()
    assert all(split.groupby(frame["group"]).nunique().max() == 1 for split in sides)


def test_groups_of_several_classes_fill_every_split() -> None:
    rows = [(f"g{n}", "common", 20) for n in range(4)] + [(f"g{n}", "rare", 1) for n in range(3)]
    for seed in range(8):
        assert (count_splits(split_labels(table(rows), seed))["images"] > 0).all()


def test_the_seed_determines_the_split() -> None:
    frame = table([(f"{label}{n}", label, 3) for label in "ab" for n in range(20)])
    first = split_labels(frame, 1)
    pd.testing.assert_frame_equal(first, split_labels(frame, 1))
    assert (first["split"] != split_labels(frame, 2)["split"]).any()


def test_a_given_split_is_kept() -> None:
    given_split = {"a0": "train", "a1": "validation", "a2": "test", "b0": "train", "b1": "validation", "b2": "test"}
    frame = table([(name, name[0], 2) for name in given_split], given_split)
    split = split_labels(frame, 0)
    assert split["split"].tolist() == frame["source_split"].tolist()


def test_a_missing_validation_split_is_taken_from_train() -> None:
    groups = [(f"{label}{n}", label, 2) for label in "ab" for n in range(10)]
    given_split = {name: "test" if name.endswith("0") else "train" for name, *_ in groups}
    split = split_labels(table(groups, given_split), 0)
    assert set(split.loc[split["source_split"] == "test", "split"]) == {"test"}
    assert set(split.loc[split["source_split"] == "train", "split"]) == {"train", "validation"}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([("a", "only", 5)], "at least two classes are needed, got only 'only'"),
        ([], "got none"),
        (
            [(f"a{n}", "a", 3) for n in range(9)] + [("b0", "b", 9), ("b1", "b", 9)],
            r"fewer: 'b' \(18 images in 2 groups\)\. Images with the same value in the group column are in one group\. "
            r"A group is never divided\. Add images of these classes in other groups",
        ),
        (
            [(f"a{n}", "a", 3) for n in range(9)] + [("b0", "b", 1), ("c1", "c", 1)],
            r"fewer: 'b' \(1 image in 1 group\), 'c' \(1 image in 1 group\)\. Add images of these classes, or",
        ),
        (
            [(f"g{n}", f"{n / 7:.3f}", 1) for n in range(9)],
            r"9 images have 9 different numbers, such as '0\.000'\. Replace ranges of the numbers by classes",
        ),
    ],
)
def test_an_impossible_split_names_what_is_missing(groups: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_labels(table(groups), 0)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (
            {"a1": "test", "b1": "test", "a2": "validation"},
            "validation must .* only train has: 'b'; only validation has: none",
        ),
        (
            {"a1": "test", "b1": "test", "Cat": "test"},
            "test must .* only train has: none; only test has: 'C'.* taken from train",
        ),
        ({"c1": "test"}, "test must .* only train has: 'a', 'b'; only test has: 'c'"),
    ],
)
def test_a_given_split_with_other_classes_is_rejected(held_out: dict, message: str) -> None:
    given_split = {f"{label}{n}0": "train" for label in "ab" for n in range(5)} | held_out
    with pytest.raises(InputError, match=message) as caught:
        split_labels(table([(name, name[0], 2) for name in given_split], given_split), 0)
    assert "seed" not in str(caught.value)


def test_few_groups_because_of_copies_are_explained() -> None:
    frame = table([(f"{label}{n}", label, 1) for label in "ab" for n in range(9)]).assign(group="one", copies="one")
    with pytest.raises(
        InputError, match=r"'a' \(9 images in 1 group\).*\. Copies and near-duplicates .* never divided"
    ):
        split_labels(frame, 0)


def test_counts_include_every_split_and_class() -> None:
    frame = table([(f"{label}{n}", label, 1) for label in "ab" for n in range(10)])
    counts = count_splits(split_labels(frame, 0))
    assert counts[["split", "label"]].values.tolist() == [[split, label] for split in SPLITS for label in "ab"]
    np.testing.assert_allclose(counts.groupby("split")["share"].sum(), 1)
    assert class_names(frame) == ["a", "b"]


def test_folds_of_a_given_split_and_of_too_few_groups_are_rejected() -> None:
    groups = [(f"{label}{n}", label, 2) for label in "ab" for n in range(4)]
    with pytest.raises(InputError, match=r"splits\.folds: must be null if the source has splits, got 3"):
        split_labels(table(groups, {name: "train" for name, *_ in groups}), 0, folds=3)
    with pytest.raises(InputError, match=r"at least 5 groups to fill fold 0, .* fewer: 'a' \(8 images in 4 groups\)"):
        split_labels(table(groups), 0, folds=5)


def test_a_stable_split_without_a_class_suggests_a_remedy() -> None:
    frame = table([(f"{label}{n}", label, 2) for label in "ab" for n in range(3)])
    with pytest.raises(InputError, match=r"has 3 groups: add groups, or try another splits\.seed or splits\.method"):
        split_labels(frame, 0, "stable")
