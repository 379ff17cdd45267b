import logging
from pathlib import Path

import pytest
from odd_folders import class_folders, kaggle_competition, loose_images, put, write_table

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.manifests import Columns
from goodbad_pipeline.images.sources import open_source, read_candidates


def rows(root: Path, manifest: str | None = None, **columns: object) -> dict[str, str | None]:
    table = read_candidates(root, "auto", manifest, Columns(**columns)).candidates
    return dict(zip(table["path"], table["label"], strict=True))


READ = {"0.png": "Käfer", "1.png": "dog"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_encodings_and_separators(tmp_path: Path, encoding: str, mark: str, caplog: pytest.LogCaptureFixture) -> None:
    text = "path,label,note\n0.png,Käfer,\n1.png,dog,\n".replace(",", mark)
    write_table(loose_images(tmp_path, "."), text, encoding=encoding)
    with caplog.at_level(logging.INFO):
        assert rows(tmp_path) == READ
    assert ("separated by" in caplog.text) == (mark != "," or encoding in ("utf-16", "cp1252"))
    assert next(open_source(tmp_path, "path").blocks(9)) == list(READ)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("cat\\0.png", "cat/0.png"),
        (".\\cat\\0.png", "cat/0.png"),
        ("./cat/0.png", "cat/0.png"),
        ("{root}/cat/0.png", "cat/0.png"),
        ("cat/0", "cat/0.png"),
        ("cat\\0", "cat/0.png"),
        ("cat/2", "cat/2"),  # there is 2.png and 2.jpg
        ("cat/9", "cat/9"),
        ("cat/v1.5", "cat/v1.5.png"),
        ("dog/a\\b.png", "dog/a\\b.png"),  # a file with this name
        ("Cat/0.PNG", "cat/0.png"),
        ("root/cat/0", "cat/0.png"),
        ("cat/Stra%C3%9Fe%201.png", "cat/Straße 1.png"),
        ("cat/a\u0308.png", "cat/ä.png"),
        ("cat/ä", "cat/ä.png"),
        ("cat/U.png", "cat/U.png"),  # there is u.PNG and u.Png
    ],
)
def test_paths_that_mean_a_file(tmp_path: Path, path: str, found: str) -> None:
    root = put(
        class_folders(tmp_path / "root"), "cat/2.png", "cat/2.jpg", "cat/v1.5.png", "dog/a\\b.png", "cat/9/1.png"
    )
    put(root, "cat/Straße 1.png", "cat/ä.png", "cat/u.PNG", "cat/u.Png")
    write_table(root, f"path,label\n{path.format(root=root)},x\ndog/1.png,y\n")
    assert rows(root) == {found: "x", "dog/1.png": "y"}


@pytest.mark.parametrize("path", ["C:\\pets\\cat\\0.png", "/elsewhere/cat/0.png", "{root}/../cat/0.png", "..\\0.png"])
def test_paths_outside_of_the_root(tmp_path: Path, path: str) -> None:
    write_table(class_folders(tmp_path), f"path,label\n{path.format(root=tmp_path)},x\n")
    with pytest.raises(InputError, match=r"row 1 of 'labels.csv' has .* Correct the path or images.root"):
        rows(tmp_path)


@pytest.mark.parametrize("ending", ["", ".png"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("train_images", "test_images")])
def test_ids_of_a_competition_are_found_in_its_train_folder(tmp_path: Path, train: str, test: str, ending: str) -> None:
    root = kaggle_competition(tmp_path, train=train, test=test, ending=ending)
    assert rows(root, "train.csv", path="id", label="breed") == {f"{train}/0.png": "cat", f"{train}/1.png": "dog"}


@pytest.mark.parametrize(
    ("ids", "files", "message"),
    [
        (
            "01",
            ["north/0.png", "north/1.png", "south/0.png", "south/1.png"],
            "'0'; did you mean north/0.png or south",
        ),
        ("01", ["pics/000.png", "pics/001.png"], "'0'; did you mean pics/000.png?"),
        ("ab", ["a.png", "b.png", "a.jpg"], "'a'; did you mean a.jpg or a.png?"),
    ],
)
def test_paths_without_a_clear_file_stay_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ids: str, files: list[str], message: str
) -> None:
    write_table(put(tmp_path, *files), "path,label\n" + "".join(f"{name},x\n" for name in ids))
    assert ids[0] in rows(tmp_path)
    assert f"no file fits {message}" in caplog.text


def test_a_replaced_path_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_table(class_folders(tmp_path), "path,label\ncat/0,cat\ndog/1,dog\n")
    with caplog.at_level(logging.INFO):
        rows(tmp_path)
    assert "paths replaced by the paths of existing files: 2 (first: cat/0 by cat/0.png)" in caplog.text


ONE_HOT = "path,cat,wild dog,age\n0.png,1,0,3\n1.png,0,1,4\n2.png,0,0,5\n"


def test_one_column_per_class(tmp_path: Path) -> None:
    write_table(loose_images(tmp_path, ".", images=3), ONE_HOT)
    assert rows(tmp_path, label=["cat", "wild dog"]) == {"0.png": "cat", "1.png": "wild dog", "2.png": None}
    with pytest.raises(InputError, match=r"add '--params=images.columns.label=\[cat, wild dog\]'"):
        rows(tmp_path)
    with pytest.raises(InputError, match="has no column 'bird'"):
        rows(tmp_path, label=["cat", "bird"])


@pytest.mark.parametrize("cells", ["1,1", "2,0", "x,0", ","])
def test_class_columns_with_other_values(tmp_path: Path, cells: str) -> None:
    write_table(tmp_path, f"path,cat,dog\n0.png,1,0\n1.png,{cells}\n")
    with pytest.raises(InputError, match=r"at most one of cat, dog may be 1 .* row 2 of 'labels.csv' has"):
        rows(tmp_path, label=["cat", "dog"])


@pytest.mark.parametrize("joined", ["cat|dog", "cat|fox", "cat; dog", '"cat, dog"'])
def test_several_labels_of_one_image(tmp_path: Path, joined: str) -> None:
    write_table(tmp_path, f"path,label\n0.png,cat\n1.png,dog\n2.png,{joined}\n")
    with pytest.raises(InputError, match=r"row 3 of 'labels.csv' has .* Keep one label"):
        rows(tmp_path)


@pytest.mark.parametrize("label", ["fish|bird", '"dog, small"', "a/c"])
def test_labels_with_a_mark_that_join_no_others(tmp_path: Path, label: str) -> None:
    write_table(tmp_path, f"path,label\n0.png,cat\n1.png,dog\n2.png,{label}\n")
    assert rows(tmp_path)["2.png"] == label.strip('"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,breed\n0,cat\n1,dog\n",
            "id, breed. .* add --params=images.columns.path=id,images.columns.label=breed$",
        ),
        ("odd,id,breed\n0,0,cat\n0,1,dog\n0,9,dog\n", "--params=images.columns.path=id,images.columns.label=breed$"),
        ("n,file,class\n7,a/0.jpg,x\n8,1.jpg,y\n", "add --params=images.columns.path=file,images.columns.label=class$"),
        ("file,label\n0.png,cat\n1.png,cat\n", "add --params=images.columns.path=file$"),
        ("path,fine,coarse\n0.png,a,c\n1.png,b,d\n", "Add images.columns.label=NAME to --params"),
        ("0.png,cat\n1.png,dog\n", "header line is missing; begin the file with a line such as path,label$"),
        ("path,label\n", "'labels.csv' has no rows$"),
        ("path,label\n0.png,cat\n1.png,a,b,c\n", r"\(Expected 2 fields in line 3, saw 4\)"),
    ],
)
def test_columns_with_other_names_are_guessed_for_the_message(tmp_path: Path, text: str, message: str) -> None:
    write_table(loose_images(tmp_path, "."), text)
    with pytest.raises(InputError, match=message):
        rows(tmp_path)


def test_names_of_columns_may_differ_by_case(tmp_path: Path) -> None:
    write_table(loose_images(tmp_path, "."), "Path,Label,Split\n0.png,1.10,train\n1.png,2,test\n")
    table = read_candidates(tmp_path, "auto", None, Columns()).candidates
    assert table[["path", "label", "split"]].to_numpy().tolist() == [["0.png", "1.10", "train"], ["1.png", "2", "test"]]
    assert next(open_source(tmp_path, "path").blocks(9)) == ["0.png", "1.png"]


@pytest.mark.parametrize(("above", "layout"), [("", "folders"), ("train", "presplit")])
def test_labels_that_differ_from_the_folders_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, above: str, layout: str
) -> None:
    root = loose_images(class_folders(tmp_path, above), "more")
    lines = (f"{file.relative_to(root)},{'cat' if 'dog' in str(file) else 'dog'}\n" for file in root.rglob("*.png"))
    write_table(root, "path,label\n" + "".join(sorted(lines)))
    with caplog.at_level(logging.INFO):
        rows(root)
    first = f"{above}/cat/0.png".lstrip("/")
    assert "Reading labels.csv as the manifest of" in caplog.text
    assert (
        f"4 of 4 labels of labels.csv differ from the image's folder (first: {first} as 'dog'). If the folders are "
        f"right, add --params=images.layout={layout}"
    ) in caplog.text
    table = read_candidates(root, layout, None, Columns()).candidates.set_index("path")
    assert table.loc[first, "label"] == "cat"


def test_images_without_a_row_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_table(kaggle_competition(tmp_path), "id,breed\ntest/0,cat\ntest/1,cat\n", "submission.csv")
    (root / "old.csv").mkdir()
    with caplog.at_level(logging.INFO):
        rows(root, "submission.csv", path="id", label="breed")
    assert (
        "Images without a row in submission.csv: 2 (first: train/0.png; 'train.csv' has a row of this name)"
        in caplog.text
    )
