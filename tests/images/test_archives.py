"""Images in zip, tar and Parquet files."""

import io
import json
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import encoded, make_image

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.paths import find_states, read_inside
from goodbad_pipeline.images.rejections import Reason, Rejection
from goodbad_pipeline.images.scan import Scan, scan_candidates
from goodbad_pipeline.images.sources import Columns, open_source, read_candidates
from goodbad_pipeline.images.stores import open_root

FILES = {
    f"{label}/{number}{'.jpg' if number else '.PNG'}": encoded(
        make_image(number, bright=label == "sun"), "JPEG" if number else "PNG"
    )
    for label in ("sun", "moon")
    for number in range(3)
}
FILES |= {"sun/broken.jpg": FILES["sun/1.jpg"][:300], "sun/deep/x.png": FILES["moon/0.PNG"], "sun/.hidden": b"x"}
FILES |= {"__MACOSX/sun/._1.jpg": b"x", "__MACOSX/sun/._2.jpg": b"x"}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_zip(file: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file


def write_tar(file: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def scan(root: Path | str, journal: Path | None = None, **options: Any) -> tuple[Scan, dict[str, int]]:
    opened = open_root(root, again=True)
    listing = read_candidates(opened, "auto", None, Columns())
    options = {"max_pixels": 10**7, "background": (255, 255, 255)} | options
    return scan_candidates(listing.candidates, opened, cache_folder=journal, **options), listing.ignored


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_an_archive_is_read_like_the_folder_that_it_was_made_of(tmp_path: Path, write) -> None:
    folder, ignored = scan(write_folder(tmp_path / "pets", FILES))
    archive = write(tmp_path / f"pets.{write.__name__[6:]}", {f"./{name}": FILES[name] for name in reversed(FILES)})
    before = sorted(tmp_path.rglob("*"))
    packed, ignored_there = scan(archive)
    assert len(folder.images) == 7
    pd.testing.assert_frame_equal(packed.images, folder.images)
    pd.testing.assert_frame_equal(packed.quarantine, folder.quarantine)
    assert ignored_there == ignored == {".hidden": 1, "__MACOSX/": 1}
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_manifest_in_an_archive_labels_its_images(tmp_path: Path, write) -> None:
    files = {"labels.csv": b"path,label,rain\nsun/1.jpg,007,1\nmoon/1.jpg,NA,2\n", **FILES}
    archive = write(tmp_path / f"pets.{write.__name__[6:]}", files)
    images = scan(archive)[0].images
    assert images[["path", "label", "rain"]].values.tolist() == [["sun/1.jpg", "007", 1], ["moon/1.jpg", "NA", 2]]
    assert list(open_source(str(archive), "path").blocks(10)) == [["sun/1.jpg", "moon/1.jpg"]]


def test_names_and_kinds_that_an_archive_must_not_have_are_quarantined(tmp_path: Path) -> None:
    image = FILES["sun/1.jpg"]
    link = zipfile.ZipInfo("sun/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("sun/1.jpg", "moon\\1.jpg", "../up.jpg", "/abs.jpg", "sun/../../x.jpg", "C:\\x.jpg"):
            archive.writestr(name, image)
        archive.writestr(link, "../../secret")
        archive.writestr("moon/odd.jpg", image, compress_type=zipfile.ZIP_LZMA)
    root = open_root(tmp_path / "evil.zip")
    found = {path: read_inside(root, path).content for path in root.files}
    assert found.pop("sun/1.jpg") == found.pop("moon/1.jpg") == image
    assert {path: content.reason for path, content in found.items()} == {
        "../up.jpg": Reason.OUTSIDE_ROOT,
        "/abs.jpg": Reason.OUTSIDE_ROOT,
        "sun/../../x.jpg": Reason.OUTSIDE_ROOT,
        "C:/x.jpg": Reason.OUTSIDE_ROOT,
        "sun/link.jpg": Reason.NOT_A_FILE,
        "moon/odd.jpg": Reason.UNSUPPORTED,
    }
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        for name, kind in (("a/link", tarfile.SYMTYPE), ("a/hard", tarfile.LNKTYPE), ("a/fifo", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("../up.jpg"))
    root = open_root(tmp_path / "evil.tar")
    reasons = [read_inside(root, path).content.reason for path in root.files]
    assert reasons == [Reason.OUTSIDE_ROOT, *[Reason.NOT_A_FILE] * 3]


def test_a_bomb_is_not_decompressed(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "bomb.zip", {"a/zeros.png": bytes(50 << 20), "a/lies.png": bytes(1 << 20)})
    content = file.read_bytes().replace((1 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    file.write_bytes(content)  # states a smaller size than it has
    root = open_root(file)
    assert read_inside(root, "a/zeros.png", max_bytes=1 << 20).content.reason == Reason.OUT_OF_MEMORY
    assert read_inside(root, "a/lies.png", max_bytes=1 << 20).content.reason == Reason.CORRUPT


def test_damage_is_found(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "a.zip", FILES).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole.replace(FILES["sun/1.jpg"][200:300], bytes(100)))
    with zipfile.ZipFile(tmp_path / "stored.zip", "w") as archive:
        archive.writestr("a/1.jpg", FILES["sun/1.jpg"])
    stored = (tmp_path / "stored.zip").read_bytes().replace(FILES["sun/1.jpg"][200:210], bytes(10))
    (tmp_path / "stored.zip").write_bytes(stored)
    assert read_inside(open_root(tmp_path / "stored.zip"), "a/1.jpg").content.reason == Reason.CORRUPT
    (tmp_path / "cut.zip").write_bytes(whole[:-50])
    (tmp_path / "text.tar").write_text("no archive")
    for name in ("cut.zip", "text.tar"):
        with pytest.raises(
            InputError, match=f"must be a readable archive, got '.*{name}' .*download may be incomplete"
        ):
            open_root(tmp_path / name)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_truncated_archive_is_named(tmp_path: Path, write) -> None:
    file = write(tmp_path / f"pets.{write.__name__[6:]}", FILES)
    data = file.read_bytes()
    for length in range(100, len(data) - 11_000, 700):  # a tar ends with zeros
        file.write_bytes(data[:length])
        with pytest.raises(InputError, match=f"images.root: must be a readable archive, got '{file}'") as caught:
            open_root(file)
        assert "\n" not in str(caught.value)


def test_a_tar_that_ends_between_two_files_is_warned_of(tmp_path: Path, caplog) -> None:
    file = write_tar(tmp_path / "pets.tar", {"a/1.png": b"x", "a/2.png": b"y"})
    assert len(open_root(file).files) == 2
    assert not caplog.text
    whole = file.read_bytes()
    file.write_bytes(whole[:1024] + bytes([1] * 100) + whole[1124:])
    with pytest.raises(InputError, match=r"must be a readable archive, got .* .damaged or truncated at byte 1024"):
        open_root(file)
    file.write_bytes(whole[:1024])
    assert list(open_root(file).files) == ["a/1.png"]
    assert "pets.tar: the tar lacks its end mark, so files may be missing at its end" in caplog.text


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_wrapper_folder_in_an_archive(tmp_path: Path, write) -> None:
    file = write(tmp_path / f"pets.{write.__name__[6:]}", {f"PetImages/{name}": FILES[name] for name in FILES})
    images = scan(file)[0].images
    assert images["path"].iloc[0] == "PetImages/moon/0.PNG"
    assert set(images["label"]) == {"sun", "moon"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_equal_names_is_read(tmp_path: Path, caplog) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (("a/1.png", b"old"), ("a/2.png", b"x"), ("./a/1.png", b"new")):
            archive.writestr(name, content)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for name in ("a.zip", "a.tar"):
        root = open_root(tmp_path / name)
        assert read_inside(root, "a/1.png").content == b"new"
        assert len(root.files) == 2
        assert f"{name}: 1 names occur again (first: a/1.png); the last file of a name is read" in caplog.text


def test_zip64_names_in_any_encoding_and_encrypted_members(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("dosXX/1.jpg", "b\u00e4r/1.jpg", "\u718a/1.jpg", "locked/1.jpg"):
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(FILES["sun/1.jpg"])
    data = bytearray(file.read_bytes().replace(b"dosXX", b"b\x84r\x81x"))  # code page 437, which has no flag
    flags = data.rindex(b"locked") - 46 + 8
    data[flags] |= 1
    file.write_bytes(data)
    root = open_root(file)
    assert list(root.files) == ["b\u00e4r/1.jpg", "b\u00e4r\u00fcx/1.jpg", "locked/1.jpg", "\u718a/1.jpg"]
    contents = [read_inside(root, path).content for path in root.files]
    assert contents.pop(2) == Rejection(Reason.UNREADABLE, "encrypted in the archive")
    assert contents == [FILES["sun/1.jpg"]] * 3


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.7z", "a.RAR"])
def test_an_archive_without_random_access_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="convert it to a zip or an uncompressed tar"):
        open_root(tmp_path / name)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_changed_archive_changes_the_states_of_its_changed_files(tmp_path: Path, write) -> None:
    archive = tmp_path / f"pets.{write.__name__[6:]}"
    states = []
    for content in (b"one", b"two"):
        write(archive, {"a/1.png": content, "a/2.png": b"same"})
        states.append(find_states(open_root(archive), ["a/1.png", "a/2.png", "none"]))
    assert (states[0][0] != states[1][0]).any()
    assert (states[0][2] == states[1][2]).all()
    if write is write_zip:  # a checksum for each file
        assert (states[0][1] == states[1][1]).all()


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_webdataset_samples(tmp_path: Path, write) -> None:
    files = {}
    for number, name in enumerate(FILES, start=1):
        if name.endswith("jpg") and "MACOSX" not in name:
            label = name.partition("/")[0]
            files[f"{number:06d}.jpg"] = FILES[name]
            files[f"._{number:06d}.jpg"] = b"a Mac writes such files"
            note = {
                "label": label,
                "weight": number if number % 2 else "unknown",
                "group": f"person {number % 2}",
                "box": [1, 2],
            }
            files |= {f"{number:06d}.json": json.dumps(note).encode(), f"{number:06d}.txt": b"a caption"}
    images = scan(write(tmp_path / f"train.{write.__name__[6:]}", files))[0].images
    assert images["label"].tolist() == ["sun", "sun", "moon", "moon"]
    assert images["weight"].tolist() == ["unknown", "3", "5", "unknown"]
    assert images["group"].tolist() == ["person 0", "person 1", "person 1", "person 0"]
    files = {name.replace("json", "cls"): b"7\n" if name.endswith("json") else files[name] for name in files}
    assert set(scan(write(tmp_path / f"cls.{write.__name__[6:]}", files))[0].images["label"]) == {"7"}


def test_notes_beside_images_in_class_folders_are_no_labels(tmp_path: Path) -> None:
    files = {name: content for name, content in FILES.items() if name.endswith("1.jpg")}
    files |= {name.replace("jpg", "json"): b'{"shapes": []}' for name in files}
    result = scan(write_zip(tmp_path / "pets.zip", files))[0]
    assert result.images["label"].tolist() == ["moon", "sun"]


def write_hugging_face(file: Path, struct: bool = True) -> Path:
    images = [FILES[name] for name in FILES if name.endswith("jpg") and "MACOSX" not in name]
    features = {"label": {"_type": "ClassLabel", "names": ["moon", "sun"]}, "image": {"_type": "Image"}}
    columns = {
        "image": [{"bytes": image, "path": f"{number}.jpg"} for number, image in enumerate(images)]
        if struct
        else images,
        "label": [1, -1, 1, 0, 1],
        "group": ["a", "c", "NA", "007", "c"],
        "path": ["not", "the", "path", "of", "images"],
        "boxes": [[1]] * 5,
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file, row_group_size=2)
    return file


@pytest.mark.parametrize("struct", [True, False])
def test_a_hugging_face_parquet_file(tmp_path: Path, struct: bool) -> None:
    file = write_hugging_face(tmp_path / "train-00000-of-00001.parquet", struct)
    result = scan(file)[0]
    assert result.images["label"].tolist() == ["sun", "sun", "moon"]
    assert result.images["path"].tolist() == ["image/00000000", "image/00000002", "image/00000003"]
    assert result.images["group"].tolist() == ["a", "NA", "007"]
    assert result.images["manifest_path"].tolist() == ["not", "path", "of"]
    assert result.quarantine["reason"].tolist() == [Reason.NO_LABEL, Reason.TRUNCATED]
    assert list(open_source(str(file), "path").blocks(10)) == [[f"image/{number:08d}" for number in range(5)]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "has no column 'label'; it has: only images; add a column of labels$"),
        ({"fine": [1, 2, 1, 2], "coarse": [0, 0, 1, 1]}, "it has: fine, coarse. Add images.columns.label=NAME to"),
        ({"label": [[1], [1, 2], [], [2]]}, "every image must have one label, but column 'label' .* has lists"),
    ],
)
def test_a_parquet_file_without_one_label_per_image(tmp_path: Path, columns: dict, message: str) -> None:
    pq.write_table(pa.table({"image": [b"1", b"2", b"3", b"4"], **columns}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message) as caught:
        scan(tmp_path / "a.parquet")
    assert "path" not in str(caught.value)


def test_an_archive_that_disappears_or_has_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    tar, parquet = write_tar(tmp_path / "a.tar", FILES), write_hugging_face(tmp_path / "a.parquet")
    opened = open_root(tar)
    tar.unlink()
    data = bytearray(parquet.read_bytes())
    data[20:2000] = bytes(1980)
    parquet.write_bytes(data)
    for root, path in ((opened, "sun/1.jpg"), (open_root(parquet), "image/00000000")):
        with pytest.raises(InputError, match=r"cannot be read .*; repair it and run the same command again"):
            read_inside(root, path)


def test_parquet_rows_in_any_order_and_without_images(tmp_path: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    values = [{"bytes": b"1" * 100}, None, {"bytes": None, "path": "x.jpg"}, {"bytes": b"2", "path": None}]
    pq.write_table(pa.table({"pic": pa.array(values, kind)}), tmp_path / "a.parquet", row_group_size=3)
    root = open_root(tmp_path / "a.parquet")
    assert read_inside(root, "pic/00000003").content == b"2"
    assert read_inside(root, "pic/00000000").content == b"1" * 100
    assert read_inside(root, "pic/00000000", max_bytes=99).content.reason == Reason.OUT_OF_MEMORY
    for number in (1, 2, 9):
        content = read_inside(root, f"pic/{number:08d}").content
        assert isinstance(content, Rejection)
        assert content.reason == Reason.MISSING


def test_a_parquet_file_without_images_is_a_manifest_for_predictions_only(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["1.jpg"]}).to_parquet(tmp_path / "a.parquet")
    assert list(open_source(str(tmp_path / "a.parquet"), "path").blocks(10)) == [["1.jpg"]]
    with pytest.raises(InputError, match="no column contains image bytes"):
        open_root(tmp_path / "a.parquet")


def test_an_archive_that_is_missing_and_a_folder_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"predict\.source: must be an existing folder.*none\.zip"):
        open_source(str(tmp_path / "none.zip"), "path")
    with pytest.raises(InputError, match=r"images\.root: must be an existing folder, got .*none\.zip"):
        scan(tmp_path / "none.zip")
    write_folder(tmp_path / "folder.zip", {"a.png": b""})
    assert list(open_source(str(tmp_path / "folder.zip"), "path").blocks(10)) == [["a.png"]]


def test_a_scan_of_an_archive_goes_on_where_it_was(tmp_path: Path, monkeypatch) -> None:
    archive = write_zip(tmp_path / "pets.zip", FILES)
    first = scan(archive, tmp_path / "journal")[0]
    monkeypatch.setattr("goodbad_pipeline.images.archives.ZipArchive._read", None)
    second = scan(archive, tmp_path / "journal")[0]
    pd.testing.assert_frame_equal(first.images, second.images)
