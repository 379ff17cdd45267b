from pathlib import Path

import pandas as pd
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import Corrected, apply_corrections, default_file, read_corrections

HEADER = "path,image_id,label,exclude,why,who"
IDS = {"a.png": "a" * 64, "b.png": "b" * 64, "copy.png": "b" * 64, "c.png": "c" * 64}


def correct(folder: Path, *rows: str, header: str = HEADER) -> Corrected:
    images = pd.DataFrame({"path": list(IDS), "image_id": list(IDS.values()), "label": ["good", "bad", "bad", "good"]})
    images["size"] = 7
    aside = pd.DataFrame([("broken.png", "bad", "corrupt", "", 3, "d" * 64)])
    aside.columns = ["path", "label", "reason", "detail", "size", "image_id"]
    file = folder / "corrections.csv"
    file.write_text("\n".join([header, *rows]))
    return apply_corrections(images, aside, read_corrections(file))


def test_a_label_and_an_exclusion_are_applied(tmp_path: Path) -> None:
    done = correct(
        tmp_path,
        "a.png,,bad,,a scowl,Ann",
        f',{"b" * 64},good,,"a hero, really",Bob',
        "c.png,,,true,blurred,Ann",
        "broken.png,,good,,fine face,Bob",
        "copy.png,,good,no,the same,Ann",
    )
    assert done.images[["path", "label", "source_label"]].values.tolist() == [
        ["a.png", "bad", "good"],
        ["b.png", "good", "bad"],
        ["copy.png", "good", "bad"],
    ]
    assert done.excluded[["path", "label", "reason", "detail"]].values.tolist() == [
        ["c.png", "good", "excluded", "blurred (Ann)"]
    ]
    assert done.report[["row", "path", "before", "after", "who", "status"]].values.tolist() == [
        [1, "a.png", "good", "bad", "Ann", "applied"],
        [2, "b.png", "bad", "good", "Bob", "applied"],
        [2, "copy.png", "bad", "good", "Bob", "applied"],
        [3, "c.png", "good", "(excluded)", "Ann", "applied"],
        [4, "broken.png", "bad", "good", "Bob", "already quarantined"],
        [5, "copy.png", "bad", "good", "Ann", "applied"],
    ]
    assert len(done.images) + len(done.excluded) == len(IDS)


def test_a_correction_without_effect_is_reported(tmp_path: Path) -> None:
    done = correct(tmp_path, "a.png,good,sure,Ann", header="path,label,why,who")
    assert done.report["status"].tolist() == ["unchanged"]
    assert done.images["label"].tolist() == done.images["source_label"].tolist()


def test_surrounding_spaces_belong_to_paths_only(tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text(f"path, label, why, who, image_id\n a.png , bad , sure , Ann ,\n  ,good, sure, Ann, {'b' * 64} \n")
    table = read_corrections(file)
    assert table[["path", "image_id", "label", "why", "who"]].values.tolist() == [
        [" a.png ", "", "bad", "sure", "Ann"],
        ["", "b" * 64, "good", "sure", "Ann"],
    ]


def test_a_row_that_keeps_its_label_changes_nothing_even_if_the_image_or_the_class_is_gone(tmp_path: Path) -> None:
    header = "path,image_id,label,exclude,keep,why,who,when,model_version"
    rows = (
        "a.png,,bad,,,a scowl,Ann,today,",
        f",{'b' * 64},good,,true,seen,Ann,,x 3",
        "gone.png,,ugly,,true,seen,Ann,,",
    )
    done = correct(tmp_path, *rows, header=header)
    assert done.images["label"].tolist() == ["bad", "bad", "bad", "good"]
    assert done.report["row"].tolist() == [1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,,true,true,why,me", "with keep=true, the row must have the label that is kept, got exclude=true"),
        ("a.png,bad,,perhaps,why,me", "keep must be true, false or empty, got 'perhaps'"),
    ],
)
def test_a_row_cannot_keep_and_exclude(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        correct(tmp_path, row, header="path,label,exclude,keep,why,who")


@pytest.mark.parametrize(
    ("root", "file"), [("/a/b/", "/a/b.corrections.csv"), ("/a/b.zip", "/a/b.zip.corrections.csv")]
)
def test_the_default_file_is_beside_the_root(root: str, file: str) -> None:
    assert default_file(root) == Path(file)
    assert default_file("s3://bucket/pets") is default_file("shards-*.tar") is None


def test_no_file_means_no_corrections() -> None:
    images = pd.DataFrame({"path": ["a"], "image_id": ["b"], "label": ["x"], "size": [1]})
    done = apply_corrections(images, images.assign(reason="", detail="").iloc[:0], read_corrections(None))
    assert (len(done.images), len(done.excluded), len(done.report)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x.png,,bad,,why,me", r"rows without a file: 1, the first is row 1, 'x\.png'"),
        (f",{'e' * 64},bad,,why,me", f"the first is row 1, '{'e' * 64}'"),
        ("a.png,,goood,,why,me", "row 1: label must be one of bad, good, got 'goood'"),
        ("a.png,,bad,,,me", r"row 1 of 'corrections\.csv': why must not be empty"),
        ("a.png,,bad,,why,", "who must not be empty"),
        ("a.png,,,,why,me", "must have either a label or exclude=true, got label '' and exclude ''"),
        ("a.png,,bad,yes,why,me", "must have either a label or exclude=true, got label 'bad' and exclude 'yes'"),
        ("a.png,,,perhaps,why,me", "exclude must be true, false or empty, got 'perhaps'"),
        (f"a.png,{'a' * 64},bad,,why,me", "must have either a path or an image_id"),
        (",,bad,,why,me", "must have either a path or an image_id"),
        (f"b.png,,good,,why,me\n,{'b' * 64},,true,why,me", r"rows 1, 2 contradict each other on 'b\.png'"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        correct(tmp_path, row)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,label,why", "has no column 'who'"),
        ("path,label, label,why,who", "has the column 'label' twice"),
        ("path,label,why,who,size", "unknown column 'size'; known columns are path"),
    ],
)
def test_unknown_and_missing_columns_are_rejected(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        correct(tmp_path, header=header)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images\.corrections: must be a readable CSV file, got '.*nowhere\.csv'"):
        read_corrections(tmp_path / "nowhere.csv")


def test_corrections_of_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "corrections.csv").write_text("path;label;why;who\na.png;Käfer;legs;Ann\n", encoding="cp1252")
    assert read_corrections(tmp_path / "corrections.csv")["label"].tolist() == ["Käfer"]
