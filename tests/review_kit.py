"""A project with splits and a review of its images, written without a run."""

import hashlib
from pathlib import Path

import pandas as pd
from factories import make_project, write_manifest

from goodbad_pipeline.images.stores import with_root
from goodbad_pipeline.tracking.run_record import labels_digest


def tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the splits of a folder of `write_manifest`, and a review that suspects each of its labels.

    The last image has nothing to look at, and the image before it is dark.
    """
    splits = pd.read_csv(root / "labels.csv", dtype=str)[["path", "label", "group"]]
    files = [root / path for path in splits["path"]]
    splits["copies"], splits["source_label"] = "1", splits["label"]
    splits["image_id"] = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    splits = splits.assign(width=40, height=40, size=[file.stat().st_size for file in files], source_split=None)
    splits["split"] = ["train" if index % 3 else "validation" for index in splits["group"].factorize()[0]]
    review = splits[["image_id", "path", "group", "label", "split"]].copy()
    other = {"bad": "good", "good": "bad"}
    review["suggested"] = review["label"].map(other)
    review["probability"] = [1 - index / len(review) for index in range(len(review))]
    review = review.assign(p_label=0.1, p_suggested=0.9, neighbours=0.2, issue="label")
    nearest = {label: " ".join(splits.loc[splits["label"] == label, "image_id"].iloc[-3:]) for label in other}
    review["nearest_label"] = review["label"].map(nearest)
    review["nearest_suggested"] = review["suggested"].map(nearest)
    review["evidence"] = "Nine of ten neighbours are " + review["suggested"] + "."
    review.loc[review.index[-2:], "suggested"] = review["label"].iloc[-2:]
    review.loc[review.index[-2:], "issue"] = ["dark", ""]
    review.attrs["labels"] = labels_digest(splits)
    return with_root(splits, str(root)), review


def make_reviewed(folder: Path, groups: int = 6) -> Path:
    """Return the folder of a project in which splits and review are stored, and no model."""
    project = make_project(folder)
    root = write_manifest(project / "data/01_raw/characters", groups)
    splits, review = tables(root)
    for name, table in (("05_model_input/splits", splits), ("08_reporting/label_review", review)):
        file = project / f"data/{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(file)
    return project
