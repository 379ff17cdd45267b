"""The stored review of the project in the current folder, for the page and for Label Studio."""

import getpass
import glob
import subprocess
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from goodbad_pipeline import params
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import default_file
from goodbad_pipeline.images.stores import is_url, open_root
from goodbad_pipeline.review.decisions import CorrectionsFile
from goodbad_pipeline.review.queue import Desk, Queue
from goodbad_pipeline.tracking.run_record import labels_digest

STALE = "Labels or splits have changed since this review; `kedro run --pipeline=review` reviews them again."


def open_project() -> KedroContext:
    """Load the context of the project, which also connects MLflow to the project's store, as ``kedro run`` does."""
    project = find_kedro_project(Path.cwd())
    if project is None:
        raise InputError(f"project: run this command inside the project folder, got '{Path.cwd()}'")
    bootstrap_project(Path(project))
    session: Any = KedroSession.create(project)
    with session:
        context: KedroContext = session.load_context()
        return context


def load_desk(context: KedroContext, who: str | None) -> Desk:
    """Load the review, the splits and the corrections file. ``who`` is by default the user of git or of the system.

    Raises:
        InputError: There is no review, or the corrections file has no place or is invalid.
    """
    catalog = context.catalog
    missing = [name for name in ("splits", "label_review") if not catalog.exists(name)]
    if missing:
        advice = "data, then kedro run --pipeline=review" if "splits" in missing else "review"
        raise InputError(f"{missing[0]}: there is nothing to review yet; run kedro run --pipeline={advice}")
    review, splits = catalog.load("label_review"), catalog.load("splits")
    images: Any = params.validate_parameters(context.params)["images"]
    stored = splits.attrs.get("root", images.root)
    is_there = is_url(stored) or glob.has_magic(stored) or Path(stored).exists()
    root = stored if is_there else images.root  # the project may have been moved
    chosen = Path(images.corrections) if images.corrections else None
    # The default file of images.root belongs to its images, which may not be those of the review.
    file = default_file(root) if chosen in (None, default_file(images.root)) else chosen
    if file is None:
        raise InputError(
            "images.corrections: must name a file, such as data/01_raw/corrections.csv, because images.root is a URL "
            f"or pattern, got null; set it in {context.project_path / 'conf/local/parameters.yml'}"
        )
    queue = Queue(review, splits, CorrectionsFile(file))
    is_current = review.attrs.get("labels") == labels_digest(splits) and len(queue.rows) == len(review)
    notes = [] if is_current else [STALE]
    return Desk(queue, open_root(root).resolve(), images.transform(1), (who or "").strip() or _find_user(), notes)


def _find_user() -> str:
    try:
        command = ["git", "config", "user.name"]
        name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        return name or getpass.getuser()
    except (OSError, subprocess.SubprocessError):  # no git, or no name; a container may have no user either
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return "unknown"
