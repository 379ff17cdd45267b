import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest
from factories import encoded, make_image

from goodbad_pipeline.images.scan import Scan, scan_candidates


def scan(root: Path, rows: list[tuple[str | None, str | None]]) -> Scan:
    table = pd.DataFrame(rows, columns=["path", "label"], dtype=object).assign(group=None, split=None, weather="sun")
    return scan_candidates(table, root, max_pixels=10_000, background=(255, 255, 255))


def test_every_file_is_accepted_or_quarantined_with_a_reason(tmp_path: Path) -> None:
    good = encoded(make_image(1, bright=True))
    (tmp_path / "good.png").write_bytes(good)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "large.png").write_bytes(encoded(make_image(2, bright=True, side=101)))
    (tmp_path / "unlabelled.png").write_bytes(good)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "outside").symlink_to("/etc/hostname")
    names = ["good.png", "empty.jpg", "text.jpg", "cut.png", "large.png", "folder", "pipe", "loop", "outside"]
    rows: list[tuple[str | None, str | None]] = [(name, "x") for name in names]
    rows += [("unlabelled.png", None), ("gone.png", "x"), ("../good.png", "x"), ("/etc/hostname", "x"), (None, "x")]
    rows += [("good.png", "x"), ("nul\0.png", "x")]
    found = scan(tmp_path, rows)
    assert len(found.images) + len(found.quarantine) == len(rows)
    assert found.images["path"].tolist() == ["good.png"]
    reasons = list(zip(found.quarantine["path"].fillna("no path"), found.quarantine["reason"], strict=True))
    assert reasons == [
        ("empty.jpg", "empty"),
        ("text.jpg", "not_an_image"),
        ("cut.png", "truncated"),
        ("large.png", "too_many_pixels"),
        ("folder", "not_a_file"),
        ("pipe", "not_a_file"),
        ("loop", "unreadable"),
        ("outside", "outside_root"),
        ("unlabelled.png", "no_label"),
        ("gone.png", "missing"),
        ("../good.png", "outside_root"),
        ("/etc/hostname", "outside_root"),
        ("no path", "missing"),
        ("good.png", "listed_twice"),
        ("nul\0.png", "outside_root"),
    ]


def test_an_accepted_image_has_its_measurements(tmp_path: Path) -> None:
    data = encoded(make_image(3, bright=False))
    (tmp_path / "a.png").write_bytes(data)
    row = scan(tmp_path, [("a.png", "x")]).images.iloc[0]
    assert row["image_id"] == hashlib.sha256(data).hexdigest()
    assert (row["width"], row["height"], row["format"], row["size"]) == (40, 40, "PNG", len(data))
    assert row["weather"] == "sun"


def test_the_source_folder_is_not_changed(manifest_root: Path) -> None:
    before = {path: path.read_bytes() for path in manifest_root.rglob("*") if path.is_file()}
    names = [str(path.relative_to(manifest_root)) for path in before if path.suffix == ".png"]
    scan(manifest_root, [(name, "x") for name in names])
    assert {path: path.read_bytes() for path in manifest_root.rglob("*") if path.is_file()} == before


def test_tables_without_an_accepted_image(tmp_path: Path) -> None:
    found = scan(tmp_path, [("gone.png", "x")])
    assert found.images.empty
    assert "image_id" in found.images.columns


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(make_image(1, bright=True)))
    (tmp_path / "secret.png").chmod(0)
    assert scan(tmp_path, [("secret.png", "x")]).quarantine["reason"].tolist() == ["unreadable"]
