import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_folders import class_folders, kaggle_competition, loose_images, put

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.layouts import SPLIT_NAMES, find_arrangement, split_of
from goodbad_pipeline.images.sources import Columns, Listing, read_candidates

Build = Callable[[Path], Path]


def read(root: Path, layout: str = "auto") -> Listing:
    return read_candidates(root, layout, None, Columns())


def found(root: Path, layout: str = "auto") -> set[tuple[str | None, str | None]]:
    """Return the pairs of split and label."""
    table = read(root, layout).candidates
    return set(zip(table["split"], table["label"], strict=True))


def pairs(*splits: str | None, labels: tuple[str, ...] = ("cat", "dog")) -> set[tuple[str | None, str | None]]:
    return {(split, label) for split in splits for label in labels}


SPLITS = ("train", "test")
TWO = pairs("train", "test")
NONE = (None, None)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda root: put(class_folders(root, "train", "test"), "__MACOSX/train/1.png"), TWO),
        (lambda root: put(class_folders(root, "train", "test"), "Meta/classes.txt", "models/a/b.h5"), TWO | {NONE}),
        (lambda root: class_folders(root, "training_set", "test_set"), TWO),
        (
            lambda root: class_folders(root, "train_images", "test_images", labels=("a", "b")),
            pairs(*SPLITS, labels="ab"),
        ),
        (lambda root: class_folders(root, "Train", "eval"), TWO),
        (lambda root: class_folders(root, "train", "holdout", "val"), pairs("train", "test", "validation")),
        (lambda root: class_folders(root, "birds_train", "birds_test"), TWO),
        (
            lambda root: loose_images(class_folders(root, *("seg_train/" * 2, "seg_test/" * 2)), "seg_pred"),
            TWO | {NONE},
        ),
        (lambda root: class_folders(root, "data/train/images", "data/test/images"), TWO),
        (lambda root: loose_images(class_folders(root, "train"), "test"), pairs("train") | {("test", None)}),
        (lambda root: put(class_folders(root, "train"), "train/1.png"), pairs("train") | {("train", None)}),
        (lambda root: class_folders(root, "train2017", "val2017"), pairs("train", "validation")),
        (lambda root: put(class_folders(root, "PetImages"), "readme.txt", "1.png"), pairs(None) | {NONE}),
        (lambda root: class_folders(root, "archive/pets"), pairs(None)),
        (
            lambda root: class_folders(root, labels=("train_station", "test_tube")),
            pairs(None, labels=("train_station", "test_tube")),
        ),
        (lambda root: put(class_folders(root), "cat/young/1.png", "dog/old/1.png"), pairs(None)),
        (lambda root: put(root, "cat/1.dat", "dog/2"), pairs(None)),
        (lambda root: put(class_folders(root), "cat/dog/1.png"), pairs(None)),
    ],
)
def test_folders_whose_meaning_is_clear(tmp_path: Path, build: Build, expected: set) -> None:
    assert found(build(tmp_path)) == expected


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda root: class_folders(root, "valid", "test"), "'test', 'valid' are named like a split, but a folder"),
        (lambda root: class_folders(root, "images", "test"), "'test' and 'images' contain class folders with the same"),
        (lambda root: class_folders(root, "train", "test", "extra"), "'test', 'train' and 'extra' contain class"),
        (
            lambda root: class_folders(root, "north", "south"),
            "'north', 'south' all contain the folders 'cat', 'dog'. .* are classes, add --params=images.root=[^ ]*,"
            "images.layout=folders. To take 'cat', 'dog' or folders in them as classes, list the images in labels.csv "
            "with columns path,label, or add --params=images.root=[^ ]*/north to read only 'north'",
        ),
        (
            lambda root: class_folders(root, "", "pets"),
            "'pets' contains folders named like its siblings 'cat', 'dog'. Move 'pets' out of images.root, or add "
            "--params=images.root=[^ ]*/pets to read only 'pets'",
        ),
        (
            lambda root: class_folders(root, "data", "data/pets"),
            "add --params=images.root=[^ ]*/data/pets to read only",
        ),
        (lambda root: class_folders(root, "cat", "dog", labels=("train", "test")), "Move 'cat/test' to 'test/cat'"),
        (lambda root: class_folders(root, "cat_train", "cat_val", "dog_train", "dog_val"), "splits of several classes"),
        (lambda root: put(class_folders(root, "train"), "bus/red/1.png", "bus/old/1.png"), "'train' is named like a s"),
        (
            lambda root: loose_images(root, "cat", "dog", "test"),
            "'test' is named like a split but without class folders, and 'cat', 'dog' are not named like a split. If "
            "all are classes, add --params=images.root=[^ ]*,images.layout=folders; if not, move 'test' out",
        ),
        (lambda root: loose_images(root, "train", "test"), "'test', 'train'; two class folders are needed. Put the"),
        (
            lambda root: put(root, "1.png", "2.png", "readme.txt", "metadata.jsonl"),
            "^images.root: 2 images lie directly in '.*', none in a class folder. Put the images of each class into a",
        ),
        (lambda root: put(root, "1.png"), "1 image lies directly in '.*', none in a class folder. Put the"),
        (
            lambda root: put(root, "a.tar.xz"),
            "^images.root: no folder in '.*' has images. If the images are in 'a.tar.xz', name .*/a.tar.xz",
        ),
        (
            lambda root: put(root, "cat/1.mp4", "dog/1.mp4"),
            "^images.root: no folder in '.*' has images, but 2 videos; save",
        ),
        (lambda root: put(root, "a/readme.txt"), "^images.root: no folder in '.*' has images. Put the images"),
        (lambda root: put(root, "cat/1.png"), "images are only in 'cat'; two class folders"),
        (
            lambda root: put(kaggle_competition(root), "a.csv", "sample_submission.csv", "test.csv", "test_labels.csv"),
            "If the labels are in 'train.csv', add --params=images.root=[^ ]*,images.manifest=train.csv; if its "
            "columns are not path and label, also name the columns: images.columns.path=NAME,images.columns.label=NAME"
            ". If several of 'train.csv', 'a.csv', 'test.csv', 'test_labels.csv' have labels, join the tables into",
        ),
        (lambda root: put(loose_images(root, "train", "test"), "test.csv"), "folders are needed. Put the"),
        (
            kaggle_competition,
            "If the labels are in 'train.csv', add --params=images.root=[^ ]*,images.manifest=train.csv",
        ),
        (
            lambda root: kaggle_competition(root, train="train_images", test="test_images"),
            "images.manifest=train.csv; if",
        ),
        (
            lambda root: put(loose_images(root, "train", "test"), "train/_classes.csv", "test/_classes.csv"),
            r"in 'train/_classes.csv', 'test/_classes.csv', join the tables into labels.csv in '.*' with the columns "
            r"path \(such as train/1.jpg\), label and split$",
        ),
        (
            lambda root: put(loose_images(root, "images"), "metadata/labels.csv"),
            "If the labels are in 'metadata/labels.csv', add --params=images.root=[^ ]*,images.manifest=metadata/",
        ),
        (
            lambda root: loose_images(root, "trainA", "trainB", "testA", "testB"),
            "several classes. If the folders are splits, move 'testA' to 'test/A', 'testB' to 'test/B', and so on. If",
        ),
    ],
)
def test_folders_whose_meaning_is_not_clear(tmp_path: Path, build: Build, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        found(build(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_named_layout_decides(tmp_path: Path) -> None:
    class_folders(tmp_path, "train", "test", "extra")
    assert found(tmp_path, "folders") == pairs(None, labels=("train", "test", "extra"))
    assert found(tmp_path, "presplit") == TWO | {NONE}
    assert read(tmp_path, "presplit").unlabelled == {"extra": 4}


def test_a_class_named_like_a_split_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert found(loose_images(tmp_path, "train", "bus")) == pairs(None, labels=("train", "bus"))
    assert "Class 'train' is named like a split. If 'train' is no class: Put the images of each class" in caplog.text


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (("images", "masks"), "Classes 'images', 'masks' are named like parts of a dataset"),
        (("Annotation", "JPEGImages"), "Classes 'Annotation', 'JPEGImages' are named like"),
        (("masks", "train"), "Classes 'masks', 'train' are named like parts of a dataset"),
        (("oak", "oak "), "The labels 'oak', 'oak ' differ only by case or white space"),
        (("Oak", "oak"), "The labels 'Oak', 'oak' differ only by case or white space"),
        (("mask", "no_mask"), ""),
    ],
)
def test_classes_with_odd_names_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, labels: tuple[str, ...], warning: str
) -> None:
    assert found(class_folders(tmp_path, labels=labels)) == pairs(None, labels=labels)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == bool(warning)
    assert all(warning in text for text in warnings)


def test_a_folder_without_images_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(class_folders(tmp_path, "Images"), "Annotation/cat/0", "Annotation/dog/0", content=b"<annotation/>")
    with caplog.at_level(logging.INFO):
        assert found(tmp_path) == pairs(None) | {NONE}
    assert "all images are in 'Images/'" in caplog.text
    assert read(tmp_path).unlabelled == {"Annotation": 2}


def test_links_to_folders_are_named(tmp_path: Path) -> None:
    there, here = class_folders(tmp_path / "there"), tmp_path / "here"
    here.mkdir()
    for label in ("cat", "dog"):
        (here / label).symlink_to(there / label)
    with pytest.raises(InputError, match=f"'cat', 'dog': links .* add --params=images.root={there}, or replace links"):
        read(here)


def test_the_folder_that_contains_everything_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found(class_folders(tmp_path, "archive/PetImages"))
    assert "all images are in 'archive/PetImages/'" in caplog.text


WORDS = st.text("abcäß", min_size=3, max_size=6)
NAMES = st.sampled_from(["{}", "{}_set", "{} images", "{}Data", "seg-{}", "images.{}", "{}2017", "{}s_01"])
STEMS = st.sampled_from([name for name in SPLIT_NAMES if SPLIT_NAMES[name] != "train"])


@given(st.lists(WORDS, min_size=2, max_size=4, unique=True), NAMES, STEMS, st.sampled_from([str, str.upper, str.title]))
def test_splits_are_found_by_any_usual_name(labels: list[str], name: str, held_out: str, case: Callable) -> None:
    train, other = case(name.replace("s_", "_").format("train")), case(name.replace("s_", "_").format(held_out))
    paths = [f"{split}/{label}/1.png" for split in (train, other) for label in labels]
    placed = {path: find_arrangement(paths, "auto", "").place(path) for path in paths}
    expected = {train: "train", other: SPLIT_NAMES[held_out]}
    assert placed == {path: (expected[path.split("/")[0]], path.split("/")[1]) for path in paths}


@given(WORDS)
def test_other_words_are_no_splits(word: str) -> None:
    assert split_of(word) is None
    assert split_of(f"{word} test") is None
