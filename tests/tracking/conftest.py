from pathlib import Path

import pytest
from outbox_kit import Tracked

from goodbad_pipeline import tracking
from goodbad_pipeline.tracking import outbox


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    """One database for all tests, because creating it takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def tracked(tmp_path: Path, uri: str, monkeypatch) -> Tracked:
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.0)
    made = Tracked(uri, tmp_path)
    tracking.begin_run(made.outbox, made.run)
    return made
