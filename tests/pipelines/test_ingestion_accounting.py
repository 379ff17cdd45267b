import logging
from pathlib import Path

import pandas as pd
import pytest
from factories import encoded, make_image, parameters
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from odd_folders import class_folders, loose_images

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import ImageParams, SplitParams
from goodbad_pipeline.pipeline_registry import register_pipelines
from goodbad_pipeline.pipelines.ingestion.nodes import (
    check_quarantine,
    group_images,
    report_ingestion,
    scan_images,
)
from goodbad_pipeline.training.stopping import StopRequest


def images(root: Path, **changes: object) -> ImageParams:
    raw = parameters(images__root=str(root), **{f"images__{name}": value for name, value in changes.items()})
    return ImageParams.model_validate(raw["images"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for number, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png", "cat/._1.png", "dog/Thumbs.db")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(make_image(number, bright=True)))
    (folder / "dog" / "new\nline.jpg").write_bytes(b"")
    return folder


def test_every_file_is_counted_and_logged(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    accepted, unreadable, listing = scan_images(images(root), root.parent / "journal", StopRequest())
    labels, quarantine, duplicates, corrections = group_images(accepted, unreadable, images(root))
    with caplog.at_level(logging.INFO):
        summary, table = report_ingestion(labels, quarantine, duplicates, corrections, listing)
    assert (summary["found"], summary["accepted"], summary["quarantined"]) == (4, 3, 1)
    assert summary["ignored"] == {"._*": 1, "Thumbs.db": 1}
    assert table["path"].tolist() == ["dog/new\nline.jpg"]
    assert "(first: dog/new\\nline.jpg)" in caplog.text
    assert "ignored hidden files and folders, counted by name: ._* 1, Thumbs.db 1" in caplog.text


def test_a_file_in_neither_table_is_an_error(root: Path) -> None:
    accepted, unreadable, listing = scan_images(images(root), root.parent / "journal", StopRequest())
    labels, quarantine, duplicates, corrections = group_images(accepted.iloc[1:], unreadable, images(root))
    with pytest.raises(InputError, match="got 4 found, 2 accepted and 1 quarantined"):
        report_ingestion(labels, quarantine, duplicates, corrections, listing)


def test_a_row_without_a_path_is_logged(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "labels.csv").write_text("path,label\ncat/1.png,cat\n,dog\ncat/2.png,cat\ndog/1.png,dog\nnone.png,dog\n")
    accepted, unreadable, listing = scan_images(images(root), root.parent / "journal", StopRequest())
    labels, quarantine, duplicates, corrections = group_images(accepted, unreadable, images(root))
    with caplog.at_level(logging.INFO):
        summary, _ = report_ingestion(labels, quarantine, duplicates, corrections, listing)
    assert summary["quarantined_by_reason"] == {"missing": 2}
    assert "missing: 2 (first: a row of the manifest without a path)" in caplog.text


def test_too_many_quarantined_files_are_an_error_with_counts(root: Path) -> None:
    summary = {"found": 10, "quarantined": 3, "quarantined_by_reason": {"corrupt": 1, "empty": 2}}
    summary |= {"given_splits": {}, "unlabelled": {}}
    labels = pd.DataFrame({"path": ["a"], "source_split": [None]})
    rejected = {"path": ["b", "c", "d"], "reason": ["corrupt", "empty", "empty"], "detail": ["no end", "0", "0"]}
    quarantine = pd.DataFrame(rejected)
    pd.testing.assert_frame_equal(
        check_quarantine(labels, quarantine, summary, images(root, max_quarantined_fraction=0.3)), labels
    )
    with pytest.raises(
        InputError, match=r"at most 0\.2 .* got 3 of 10 \(corrupt 1, empty 2\), such as 'c' \(empty: 0\);"
    ):
        check_quarantine(labels, quarantine, summary, images(root, max_quarantined_fraction=0.2))


def test_a_given_split_without_accepted_images_is_an_error(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "train", "val", "test")):
        for label in ("cat", "dog"):
            file = tmp_path / "root" / split / label / f"{number}.{'tif' if split == 'test' else 'png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            kind = "TIFF" if split == "test" else "PNG"
            file.write_bytes(encoded(make_image(number, bright=label == "cat"), kind))
    wanted = images(tmp_path / "root", layout="presplit")
    accepted, unreadable, listing = scan_images(wanted, tmp_path / "journal", StopRequest())
    labels, quarantine, duplicates, corrections = group_images(accepted, unreadable, wanted)
    summary, _ = report_ingestion(labels, quarantine, duplicates, corrections, listing)
    assert summary["given_splits"] == {"train": 4, "validation": 2, "test": 2}
    with pytest.raises(InputError, match="all 2 files of 'test' are quarantined"):
        check_quarantine(labels, quarantine, summary, wanted)


def test_a_folder_without_classes_is_left_out_and_spares_the_limit(tmp_path: Path, caplog) -> None:
    loose_images(class_folders(tmp_path, "train"), "test", "to_predict", images=9)
    wanted = images(tmp_path)
    accepted, unreadable, listing = scan_images(wanted, tmp_path / ".journal", StopRequest())
    labels, quarantine, duplicates, corrections = group_images(accepted, unreadable, wanted)
    with caplog.at_level(logging.WARNING):
        summary, table = report_ingestion(labels, quarantine, duplicates, corrections, listing)
    assert summary["given_splits"] == {"train": 4}
    assert table["reason"].tolist() == ["no_label"] * 18
    assert "left out: 9 files in 'test', because the files have no labels" in caplog.text
    assert "9 images in 'to_predict', which is in no split. If 'to_predict' is a class, move the images" in caplog.text
    pd.testing.assert_frame_equal(check_quarantine(labels, quarantine, summary, wanted), labels)


def test_text_files_beside_images_spare_the_limit(tmp_path: Path) -> None:
    class_folders(tmp_path)
    for image in list(tmp_path.rglob("*.png")):
        image.with_suffix(".json").write_text("{}")
        image.with_suffix(".txt").write_text("0 1")
    wanted = images(tmp_path)
    accepted, unreadable, listing = scan_images(wanted, tmp_path / ".journal", StopRequest())
    labels, quarantine, duplicates, corrections = group_images(accepted, unreadable, wanted)
    summary, _ = report_ingestion(labels, quarantine, duplicates, corrections, listing)
    assert summary["quarantined"] == 8
    pd.testing.assert_frame_equal(check_quarantine(labels, quarantine, summary, wanted), labels)


def test_a_rejected_scan_stores_its_reasons_but_no_labels_or_splits(root: Path) -> None:
    given = {
        "params:images": images(root, max_quarantined_fraction=0.2),
        "params:splits": SplitParams.model_validate(parameters()["splits"]),
        "scan_journal": root.parent / "journal",
        "stop_request": MemoryDataset(StopRequest(), copy_mode="assign"),
    }
    stages = register_pipelines()["data"]
    catalog = DataCatalog({name: MemoryDataset() for name in stages.datasets()})
    for name, value in given.items():
        catalog[name] = value
    with pytest.raises(InputError, match=r"got 1 of 4 \(empty 1\).*labels and splits are unchanged"):
        SequentialRunner().run(stages, catalog)
    assert catalog.load("ingestion_summary")["quarantined"] == 1
    assert catalog.load("quarantine_table")["reason"].tolist() == ["empty"]
    assert not catalog.exists("labels")
    assert not catalog.exists("splits")


def test_limits_and_tiff_reach_the_scan(root: Path) -> None:
    (root / "cat" / "3.tif").write_bytes(encoded(make_image(9, bright=True), "TIFF"))
    _, unreadable, _ = scan_images(images(root), root.parent / "journal", StopRequest())
    assert "unsupported" in set(unreadable["reason"])
    accepted, _, _ = scan_images(images(root, tiff=True), root.parent / "journal", StopRequest())
    assert "TIFF" in set(accepted["format"])
    scan = parameters()["images"]["scan"] | {"timeout": 7, "memory": 99}
    assert images(root, scan=scan).scan.limits.seconds == 7
    assert images(root, scan=scan).scan.limits.memory == 99 << 20
