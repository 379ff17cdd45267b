import os
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from factories import encoded, make_image
from odd_folders import put

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation.slices import slice_values
from goodbad_pipeline.images.sources import Columns, open_source, read_candidates


def read(root: Path, layout: str = "auto", manifest: str | None = None, **columns: str | None) -> pd.DataFrame:
    return read_candidates(root, layout, manifest, Columns(**columns)).candidates


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/deep/2.png", "dog/1.png", "stray.png")
    table = read(tmp_path)
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        "cat/1.png": "cat",
        "cat/deep/2.png": "cat",
        "dog/1.png": "dog",
        "stray.png": None,
    }
    assert table["split"].isna().all()


@pytest.mark.parametrize("validation", ["valid", "val", "validation"])
def test_presplit_folders(tmp_path: Path, validation: str) -> None:
    put(tmp_path, "train/cat/1.png", f"{validation}/cat/1.png", "test/dog/1.png", "test/loose.png")
    table = read(tmp_path).set_index("path")
    assert table["split"].to_dict() == {
        "train/cat/1.png": "train",
        f"{validation}/cat/1.png": "validation",
        "test/dog/1.png": "test",
        "test/loose.png": "test",
    }
    assert table.loc["test/dog/1.png", "label"] == "dog"
    assert table.loc["test/loose.png", "label"] is None


@pytest.mark.parametrize("above", ["", "train/"])
def test_a_folder_with_a_blank_name_is_not_a_class(tmp_path: Path, above: str) -> None:
    put(tmp_path, f"{above} /1.png", f"{above} cat/1.png")
    assert read(tmp_path)["label"].tolist() == [None, " cat"]


def test_a_folder_that_is_not_a_split_has_no_label_in_the_presplit_layout(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "extra/cat/1.png")
    table = read(tmp_path, "presplit").set_index("path")
    assert table.loc["extra/cat/1.png", "label"] is None


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/._1.png", "cat/.hidden/2.png", "cat/Thumbs.db", "dog/1.png", "__MACOSX/1.png")
    assert read(tmp_path)["path"].tolist() == ["cat/1.png", "dog/1.png"]


def test_hidden_files_are_counted_by_name(tmp_path: Path) -> None:
    put(
        tmp_path, "cat/1.png", "cat/._1.png", "cat/._2.png", "dog/Thumbs.db", "dog/.DS_Store", ".git/x", "cat/.DS_Store"
    )
    put(tmp_path, "dog/1.png")
    ignored = read_candidates(tmp_path, "folders", None, Columns()).ignored
    assert ignored == {"._*": 2, "Thumbs.db": 1, ".DS_Store": 2, ".git/": 1}


def test_links_to_folders_are_listed_and_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "again").symlink_to("..")
    assert read(tmp_path)["path"].tolist() == ["cat/1.png", "cat/again", "dog/1.png"]


def test_folders_deeper_than_the_recursion_limit(tmp_path: Path) -> None:
    put(tmp_path, "dog/1.png")
    folder = f"{tmp_path}/cat"
    for _ in range(1200):
        os.mkdir(folder)
        folder += "/a"
    Path(folder).touch()
    assert len(read(tmp_path)) == 2
    os.remove(folder)  # pytest's own clean-up does not go so deep
    os.removedirs(os.path.dirname(folder))


def test_names_keep_leading_and_trailing_spaces(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('path,label\n" a.png ", x \n"b\nc.png",y\n')
    assert read(tmp_path)["path"].tolist() == [" a.png ", "b\nc.png"]
    assert read(tmp_path)["label"].tolist() == ["x", "y"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_manifest_with_custom_columns(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, "a.png")
    frame = pd.DataFrame({"path": ["a.png"], "label": ["cat"], "group": ["g"], "weather": ["sun"], "width": [3]})
    frame.to_csv(tmp_path / "labels.csv", index=False) if suffix == "csv" else frame.to_parquet(
        tmp_path / "labels.parquet"
    )
    row = read(tmp_path).iloc[0]
    assert (row["path"], row["label"], row["group"], row["weather"]) == ("a.png", "cat", "g", "sun")
    assert row["manifest_width"] == 3  # our own columns keep their names, the manifest's is renamed


def test_kaggle_layout_by_configuration(tmp_path: Path) -> None:
    frame = {"filepaths": ["train/A/1.jpg", "valid/B/2.jpg"], "labels": ["A", "B"], "data set": ["train", "valid"]}
    pd.DataFrame(frame).to_csv(tmp_path / "birds.csv", index=False)
    table = read(tmp_path, "manifest", "birds.csv", path="filepaths", label="labels", split="data set")
    assert table["split"].tolist() == ["train", "validation"]
    assert table["label"].tolist() == ["A", "B"]


def test_labels_are_text_and_empty_cells_are_none(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,split\na.png,1,test\nb.png, ,\n")
    table = read(tmp_path)
    assert table["label"].tolist() == ["1", None]
    assert table["split"].tolist() == ["test", "train"]  # where a split is given, a blank counts as train


def test_an_ignored_group_column_is_kept_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,group\na.png,x,g1\n")
    table = read(tmp_path, group=None)
    assert table["group"].isna().all()
    assert table["manifest_group"].tolist() == ["g1"]


@pytest.mark.parametrize(
    ("arrange", "options", "message"),
    [
        (lambda root: None, {}, "is empty"),
        (lambda root: root.joinpath("labels.csv").write_text("file,label\na,b\n"), {}, "has no column 'path'"),
        (lambda root: root.joinpath("labels.csv").write_text("path,label\na,b\n"), {"group": "who"}, "columns.group"),
        (lambda root: root.joinpath("labels.parquet").write_bytes(b"junk"), {}, "readable CSV or Parquet"),
        (lambda root: root.joinpath("labels.csv").write_bytes(b""), {}, "'labels.csv' is empty"),
        (lambda root: root.joinpath("labels.csv").write_text("path,label,split\na,b,later\n"), {}, "got 'later'"),
        (lambda root: root.joinpath("labels.csv").write_text("path,label,size,manifest_size\na,b,1,2"), {}, "both col"),
        (lambda root: root.joinpath("labels.csv").write_text("path,label\na,b\n../c,d\n"), {}, "row 2 .* has '../c'"),
        (lambda root: root.joinpath("labels.csv").write_text("path,label\n/etc/x,b\n"), {}, "row 1 .* has '/etc/x'"),
        (lambda root: root.joinpath("labels.csv").write_text("path,label\nhttp://x/y,b\n"), {}, "'http://x/y'"),
    ],
)
def test_invalid_sources_raise_one_line(tmp_path: Path, arrange, options: dict, message: str) -> None:
    arrange(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_missing_root_and_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images\.root: must be an existing folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"images\.manifest: must be an existing file, got 'x\.csv'"):
        read(tmp_path, "manifest", "x.csv")


def test_text_of_a_manifest_is_kept_unchanged(tmp_path: Path) -> None:
    names = ["007", "7", "NA", "null", "None", "1.50", "True", ""]
    rows = "".join(f"{number:06},{name},{number:03},{'test' if number else ''}\n" for number, name in enumerate(names))
    (tmp_path / "labels.csv").write_text("path,label,group,split\n" + rows)
    table = read(tmp_path)
    assert table["path"].tolist() == [f"{number:06}" for number in range(8)]
    assert table["label"].tolist() == [*names[:-1], None]
    assert table["group"].tolist() == [f"{number:03}" for number in range(8)]
    assert table["split"].tolist() == ["train"] + ["test"] * 7


def test_other_columns_are_numbers_if_no_digit_is_lost(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "path,label,age,weight,zip,country,serial,empty\n"
        "a.png,x,7,1.50,01067,NA,12345678901234567,\n"
        "b.png,y,NA,2,99998,DE,1,\n"
    )
    table = read(tmp_path)
    assert pd.api.types.is_integer_dtype(table["age"])
    assert table["age"].isna().tolist() == [False, True]
    assert table["weight"].tolist() == [1.5, 2.0]
    assert table["zip"].tolist() == ["01067", "99998"]
    assert table["country"].tolist() == ["NA", "DE"]
    assert table["serial"].tolist() == ["12345678901234567", "1"]
    assert table["empty"].isna().all()
    values = slice_values(table)
    assert values["age"].tolist() == ["7", "(missing)"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_prediction_reads_the_paths_that_training_reads(tmp_path: Path, suffix: str) -> None:
    names = [" a.png ", "NA", "000001", " ", ""]
    file = tmp_path / f"labels.{suffix}"
    frame = pd.DataFrame({"path": names, "label": "x"})
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    asked = [path for block in open_source(tmp_path, "path").blocks(2) for path in block]
    assert asked == read(tmp_path)["path"].tolist() == [" a.png ", "NA", "000001", None, None]


def listed(source: str | list[str]) -> tuple[Path, list[str | None]]:
    stream = open_source(source, "path")
    return stream.root, [path for block in stream.blocks(2) for path in block]


def test_images_of_several_folders_are_relative_to_the_common_folder(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/c/2.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(encoded(make_image(0, bright=True)))
    assert listed(str(tmp_path / "a/1.png")) == (tmp_path / "a", ["1.png"])
    assert listed(str(tmp_path / "**/*.png")) == (tmp_path, ["a/1.png", "b/c/2.png"])
    assert listed([str(tmp_path / "b/*/2.png"), str(tmp_path / "a/1.png")]) == (tmp_path, ["b/c/2.png", "a/1.png"])
    with pytest.raises(InputError, match=r"image or pattern, or a URL, got '.*/\*\.jpg'"):
        open_source([str(tmp_path / "a/1.png"), str(tmp_path / "*.jpg")], "path")


def test_a_file_that_is_neither_image_nor_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello\nyou\n")
    message = "'text.txt' is not an image; as a manifest it needs a column 'path' (images.columns.path), it has: hello"
    with pytest.raises(InputError, match=rf"^predict\.source: {re.escape(message)}$"):
        open_source(str(tmp_path / "text.txt"), "path")
    (tmp_path / "text.txt").write_text("path\na.png\n")
    assert listed(str(tmp_path / "text.txt")) == (tmp_path, ["a.png"])


def test_an_image_is_downloaded_from_a_url(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(encoded(make_image(0, bright=True)))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        root, paths = listed(f"{address}/cat.png?size=small")
        with pytest.raises(InputError, match=rf"must be a URL that can be downloaded, got '{address}/dog.png' .*404"):
            open_source(f"{address}/dog.png", "path")
        server.shutdown()
    assert paths == ["cat.png"]
    assert (root / "cat.png").read_bytes() == (tmp_path / "cat.png").read_bytes()
