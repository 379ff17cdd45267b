"""Several archives that are read as one root."""

import json
import pickle
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_archives import FILES, scan, write_tar, write_zip

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import stores
from goodbad_pipeline.images.paths import find_states, read_inside
from goodbad_pipeline.images.rejections import Reason
from goodbad_pipeline.images.sources import Columns, Listing, open_source, read_candidates
from goodbad_pipeline.images.stores import open_root

IMAGES = {name: FILES[name] for name in FILES if name.rpartition("/")[2] in ("0.PNG", "1.jpg", "2.jpg")}


def listed(root: Path | str) -> Listing:
    return read_candidates(open_root(root), "auto", None, Columns())


def rows(root: Path | str) -> list[list[str | None]]:
    return listed(root).candidates[["path", "label", "split"]].values.tolist()


def write_webdataset(folder: Path, name: str, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number in numbers:
        files[f"{number:04d}.jpg"] = FILES["sun/1.jpg"]
        files[f"{number:04d}.cls"] = str(number % 2).encode()
    write_tar(folder / name, files)


def write_parquet(file: Path, labels: list[int]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": FILES[f"{'sun' if label else 'moon'}/1.jpg"], "path": None} for label in labels]
    features = {"label": {"_type": "ClassLabel", "names": ["moon", "sun"]}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata), file)


def test_a_folder_and_a_pattern_of_webdataset_shards(tmp_path: Path) -> None:
    write_webdataset(tmp_path / "a", "shard-000.tar", range(3))
    write_webdataset(tmp_path / "a", "shard-001.tar", range(3, 5))
    (tmp_path / "a" / "README.md").write_text("# Shards")
    (tmp_path / "a" / ".cache").mkdir()
    (tmp_path / "a" / ".cache" / "lock").touch()
    expected = [[f"{number:04d}.jpg", str(number % 2), None] for number in range(5)]
    assert rows(tmp_path / "a") == rows(tmp_path / "a" / "shard-*.tar") == expected
    write_webdataset(tmp_path / "a", "other.tar", range(9))
    assert rows(tmp_path / "a" / "shard-*.tar") == expected
    root = pickle.loads(pickle.dumps(open_root(tmp_path / "a" / "shard-*.tar")))
    assert read_inside(root, "0004.jpg").content == FILES["sun/1.jpg"]
    assert read_inside(root, "0009.jpg").content.reason == Reason.MISSING
    assert len(scan(tmp_path / "a" / "shard-*.tar")[0].images) == 5
    blocks = list(open_source(str(tmp_path / "a" / "shard-*.tar"), "path").blocks(3))
    assert [path for block in blocks for path in block if path.endswith("jpg")] == [row[0] for row in expected]


def test_equal_paths_in_several_shards_are_different_files(tmp_path: Path) -> None:
    write_tar(tmp_path / "shard-0.tar", {"sun/1.jpg": b"0", "moon/1.jpg": b"0"})
    write_zip(tmp_path / "shard-1.zip", {"sun/1.jpg": b"1", "sun/2.jpg": b"1"})
    assert rows(tmp_path) == [
        ["moon/shard-0:1.jpg", "moon", None],
        ["sun/shard-0:1.jpg", "sun", None],
        ["sun/shard-1:1.jpg", "sun", None],
        ["sun/shard-1:2.jpg", "sun", None],
    ]
    root = open_root(tmp_path)
    assert read_inside(root, "sun/shard-1:1.jpg").content == b"1"
    assert find_states(root, ["sun/shard-1:1.jpg"])[0, 0] == 1


@pytest.mark.parametrize(
    "name",
    ["{split}-{number:05d}-of-00002.parquet", "data/{split}/{number:04d}.parquet", "pets_{split}_{number}.parquet"],
)
def test_names_of_hugging_face_files_give_the_splits(tmp_path: Path, name: str) -> None:
    for split in ("train", "validation", "test"):
        for number in range(2):
            write_parquet(tmp_path / name.format(split=split, number=number), [0, 1] if split != "test" else [-1])
    found = listed(tmp_path)
    table = found.candidates
    assert table["path"].is_unique
    assert table.fillna({"label": "none"}).groupby(["split", "label"]).size().to_dict() == {
        ("test", "none"): 2,
        ("train", "moon"): 2,
        ("train", "sun"): 2,
        ("validation", "moon"): 2,
        ("validation", "sun"): 2,
    }
    assert found.unlabelled == {"test": 2}  # as an unlabelled folder
    assert len(scan(tmp_path)[0].images) == 8


def test_zips_of_class_folders_that_are_named_like_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_zip(tmp_path / f"{split}.zip", {f"{label}/{split}.jpg": b"x" for label in ("sun", "moon")})
    expected = [[f"{label}/{split}.jpg", label, split] for label in ("moon", "sun") for split in ("test", "train")]
    assert rows(tmp_path) == expected
    write_zip(tmp_path / "extra.zip", {"sun/3.jpg": b"x"})
    with pytest.raises(InputError, match=r"all or none of the archives in .* named like splits, but 'extra' is not"):
        open_root(tmp_path)


def test_one_archive_in_a_folder_is_read_like_the_archive(tmp_path: Path) -> None:
    write_zip(tmp_path / "pets.zip", IMAGES)
    assert rows(tmp_path) == rows(tmp_path / "pets.zip")
    shutil.copy(tmp_path / "pets.zip", tmp_path / "pets.tar.gz")
    with pytest.raises(InputError, match=r"got '.*pets\.tar\.gz'; convert it"):
        open_root(tmp_path)


def test_a_pattern_must_find_archives(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    with pytest.raises(InputError, match=r"must match only archives, but matches '.*1\.jpg'"):
        open_root(tmp_path / "*.jpg")
    with pytest.raises(InputError, match=r"images\.root: must be an existing folder, got '.*\*\.tar'"):
        listed(tmp_path / "*.tar")
    with pytest.raises(InputError, match=r"braces are not read, add '--params=images\.root=.*/a-\*\.tar'"):
        listed(tmp_path / "a-{0..2}.tar")


def test_archives_beside_images_are_named_or_quarantined(tmp_path: Path) -> None:
    for name, content in IMAGES.items():
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(content)
    write_zip(tmp_path / "pets" / "sun" / "more.zip", IMAGES)
    assert scan(tmp_path / "pets")[0].quarantine[["path", "reason"]].values.tolist() == [
        ["sun/more.zip", "not_an_image"]
    ]
    (tmp_path / "kaggle").mkdir()
    shutil.copy(tmp_path / "pets" / "sun" / "more.zip", tmp_path / "kaggle" / "train.zip")
    (tmp_path / "kaggle" / "train.csv").write_text("id,label\n")
    with pytest.raises(InputError, match=r"in 'train\.zip', name one of them, --params=images\.root=.*/train.zip, or"):
        listed(tmp_path / "kaggle")


def test_shards_in_a_store_are_downloaded(tmp_path: Path) -> None:
    write_webdataset(tmp_path, "shard-000.tar", range(2))
    write_webdataset(tmp_path, "shard-001.tar", range(2, 4))
    memory = fsspec.filesystem("memory")
    for file in tmp_path.glob("*.tar"):
        memory.pipe(f"/shards/{file.name}", file.read_bytes())
    stores.configure(stores.Access({}, tmp_path / "downloads", 10**9))
    try:
        assert rows("memory://shards") == rows("memory://shards/shard-*.tar") == rows(tmp_path / "*.tar")
        assert rows("memory://shards/*-001.tar") == rows(tmp_path / "shard-001.tar")
    finally:
        stores.configure(stores.Access())
        memory.rm("/shards", recursive=True)
