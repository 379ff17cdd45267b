"""A scan of the folder of corrupt files accounts for every file and ends."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from corrupt_files import ACCEPTED, MAX_PIXELS, write_corrupt_files

from goodbad_pipeline.evaluation.decision import Calibration
from goodbad_pipeline.images.paths import locate, to_text
from goodbad_pipeline.images.pixels import Transform, pixel_source
from goodbad_pipeline.images.scan import Scan, scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates
from goodbad_pipeline.serving.classifier import Classifier
from goodbad_pipeline.serving.requests import read_image


def scan(root: Path) -> Scan:
    candidates = read_candidates(root, "folders", None, Columns()).candidates
    found = scan_candidates(candidates, root, max_pixels=MAX_PIXELS, background=(255, 255, 255), tiff=True)
    assert len(candidates) == len(found.images) + len(found.quarantine)
    return found


def contents(root: Path) -> dict[str, str]:
    files = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and not file.is_symlink()
    }


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, set[str]], Scan]:
    root = tmp_path_factory.mktemp("corrupt") / "root"
    expected = write_corrupt_files(root)
    before = contents(root)
    found = scan(root)
    assert contents(root) == before
    return root, expected, found


def test_every_file_has_the_expected_outcome(scanned: tuple[Path, dict[str, set[str]], Scan]) -> None:
    _, expected, found = scanned
    assert len(expected) >= 150
    became = dict(zip(found.quarantine["path"], found.quarantine["reason"], strict=True))
    became |= dict.fromkeys(found.images["path"], ACCEPTED)
    wrong = {name: became.get(to_text(name)) for name in expected if became.get(to_text(name)) not in expected[name]}
    assert wrong == {}
    assert len(became) == len(expected)


def test_rejected_files_that_were_read_have_size_and_hash(scanned: tuple[Path, dict[str, set[str]], Scan]) -> None:
    root, _, found = scanned
    unread = ["missing", "outside_root", "not_a_file", "unreadable"]
    refused = found.quarantine[~found.quarantine["reason"].isin(unread)]
    for path, size, image_id in refused[["path", "size", "image_id"]].itertuples(index=False):
        data = Path(locate(root, path)).read_bytes()
        assert (size, image_id) == (len(data), hashlib.sha256(data).hexdigest())


def test_tables_keep_file_names_through_parquet(
    scanned: tuple[Path, dict[str, set[str]], Scan], tmp_path: Path
) -> None:
    root, _, found = scanned
    for table in (found.images, found.quarantine):
        table.to_parquet(tmp_path / "table.parquet")
        again = pd.read_parquet(tmp_path / "table.parquet")
        assert again["path"].tolist() == table["path"].tolist()
        assert all(os.path.lexists(locate(root, path)) for path in again["path"])


def test_training_and_serving_read_the_same_pixels(scanned: tuple[Path, dict[str, set[str]], Scan]) -> None:
    root, _, found = scanned
    transform = Transform(32, "pad", (255, 255, 255), MAX_PIXELS, tiff=True, shrink_on_load=True)
    calibration = Calibration(["bad", "good"])
    source, classifier = pixel_source(found.images, root, transform), Classifier(None, transform, calibration)
    tensors = [tensor for block in source.blocks() for tensor in block]
    assert len(tensors) == found.images["image_id"].nunique()
    for path, tensor in zip(source.paths, tensors, strict=True):
        file = locate(root, path)
        served = [
            classifier.load_image(Path(file).read_bytes()),
            classifier.load_image(read_image(file, allow_paths=True)),
        ]
        assert [one.tobytes() for one in served] == [tensor.tobytes()] * 2, path


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from goodbad_pipeline.images import workers
from goodbad_pipeline.images.reading import read_image
from goodbad_pipeline.images.scan import scan_candidates
from goodbad_pipeline.images.sources import Columns, read_candidates

def scan():
    candidates = read_candidates(Path(sys.argv[1]), "folders", None, Columns()).candidates
    return candidates, scan_candidates(candidates, Path(sys.argv[1]), max_pixels=10**6, background=(0, 0, 0))

scan()  # as root: loads what nobody may not, where Python lies in root's home
workers.read_batch = lambda tasks, settings, stop: [read_image(task, settings) for task in tasks]
os.setgroups([]), os.setgid(65534), os.setuid(65534)
candidates, found = scan()
quarantine = found.quarantine[["path", "reason", "detail"]].values.tolist()
print(json.dumps([len(candidates), found.images["path"].tolist(), quarantine]))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes devices and becomes another user")
def test_files_without_read_permission_are_quarantined(tmp_path: Path) -> None:
    """Scan as a user who is not root, including devices, which only root can make."""
    root = tmp_path / "root"
    write_corrupt_files(root)
    os.mknod(root / "a" / "device.png", 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    os.mknod(root / "a" / "block.png", 0o666 | stat.S_IFBLK, os.makedev(7, 250))
    (root / "a" / "secret.png").write_bytes((root / "a" / "target.png").read_bytes())
    (root / "a" / "secret.png").chmod(0)
    for name, mode in (("locked", 0o000), ("list_only", 0o444)):
        (root / "a" / name).mkdir()
        (root / "a" / name / "inside.png").write_bytes((root / "a" / "target.png").read_bytes())
        (root / "a" / name).chmod(mode)
    for folder in (root, *root.parents):
        folder.chmod(folder.stat().st_mode | 0o755)
    run = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(root)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(open_to_all(tmp_path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    count, images, quarantine = json.loads(run.stdout)
    assert count == len(images) + len(quarantine)
    became = {path: (reason, detail) for path, reason, detail in quarantine}
    assert became["a/device.png"] == became["a/block.png"] == ("not_a_file", "a device, not a regular file")
    assert became["a/secret.png"] == ("unreadable", "Permission denied")
    assert became["a/locked"] == ("unreadable", "a folder that cannot be listed")
    assert became["a/list_only/inside.png"][0] == "unreadable"
    assert "a/target.png" in images


def open_to_all(folder: Path) -> Path:
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o777)
    return folder / "tmp"
