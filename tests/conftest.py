"""Fixtures that tests of every room share."""

from pathlib import Path

import pytest
from making import make_project, write_manifest


@pytest.fixture
def manifest_root(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "pictures_root")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")
