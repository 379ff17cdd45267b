"""Images in TFRecord files."""

import struct
from pathlib import Path

import pytest
from test_archives import FILES, scan

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.rejections import Reason
from goodbad_pipeline.images.sources import Columns, read_candidates
from goodbad_pipeline.images.stores import open_root
from goodbad_pipeline.images.tfrecords import _example_class


def message(**features: object) -> bytes:
    example = _example_class()()
    for name, value in features.items():
        feature = example.features.feature.add(key=name.replace("__", "/")).value
        kind = {bytes: feature.bytes, float: feature.float, int: feature.int64}[type(value)]
        kind.value.append(value)
    return example.SerializeToString()


def write_records(file: Path, *messages: bytes) -> Path:
    file.write_bytes(b"".join(struct.pack("<QI", len(one), 0) + one + bytes(4) for one in messages))
    return file


def test_the_features_of_tensorflow_models(tmp_path: Path) -> None:
    records = [
        message(image__encoded=FILES["sun/1.jpg"], image__class__text=b"sun", image__class__label=-1, weight=0.5),
        message(image__encoded=FILES["moon/1.jpg"], image__class__text=b"", image__class__label=7, weight=1.5),
        message(image__class__text=b"sun"),
    ]
    file = write_records(tmp_path / "train-00000-of-00001.tfrecord", *records, b"\xff\xff")
    result = scan(file)[0]
    assert result.images[["path", "label", "weight"]].values.tolist() == [
        ["image/00000000", "sun", 0.5],
        ["image/00000001", "7", 1.5],
    ]
    assert result.quarantine["reason"].tolist() == [Reason.MISSING, Reason.CORRUPT]


def test_shards_of_tensorflow_datasets_with_names_of_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in range(2):
            file = tmp_path / f"pets-{split}.tfrecord-0000{number}-of-00002"
            write_records(file, *[message(image=FILES["sun/1.jpg"], label=label) for label in (0, 1)])
    (tmp_path / "label.labels.txt").write_text("moon\nsun\n")
    (tmp_path / "dataset_info.json").write_text("{}")
    table = read_candidates(open_root(tmp_path), "auto", None, Columns()).candidates
    assert table["path"][0] == "image/pets-test-00000-of-00002:00000000"
    assert table["label"].tolist() == ["moon", "sun"] * 4
    assert table["split"].tolist() == ["test"] * 4 + ["train"] * 4


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (struct.pack("<QI", 100, 0) + bytes(50), "record 0 ends after the file does; it is truncated"),
        (struct.pack("<QI", 2, 0) + bytes(6) + b"\1", "record 1 ends after the file does"),
        (b"\x1f\x8b" + bytes(50), "a compressed TFRecord; write it without compression"),
    ],
)
def test_damaged_and_compressed_files_are_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.tfrecords").write_bytes(content)
    with pytest.raises(InputError, match=f"must be a readable archive, got '.*a.tfrecords' .{problem}"):
        open_root(tmp_path / "a.tfrecords")


@pytest.mark.long
def test_records_that_tensorflow_writes(tmp_path: Path) -> None:
    import tensorflow as tf

    def feature(**values: list) -> tf.train.Feature:
        kinds = {"bytes_list": tf.train.BytesList, "float_list": tf.train.FloatList, "int64_list": tf.train.Int64List}
        return tf.train.Feature(**{name: kinds[name](value=value) for name, value in values.items()})

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for label in ("moon", "sun"):
            features = {
                "image/encoded": feature(bytes_list=[FILES[f"{label}/1.jpg"]]),
                "image/class/text": feature(bytes_list=[label.encode()]),
                "image/height": feature(int64_list=[-3]),
                "weight": feature(float_list=[0.25]),
                "box": feature(float_list=[0.0, 1.0]),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    images = scan(tmp_path / "a.tfrecord")[0].images
    assert images["label"].tolist() == ["moon", "sun"]
    assert images[["image/height", "weight"]].values.tolist() == [[-3, 0.25]] * 2
    assert "box" not in images
