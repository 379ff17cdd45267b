"""The images of a review that a person has yet to decide, the most suspicious first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.paths import Root
from goodbad_pipeline.images.pixels import Transform
from goodbad_pipeline.review.decisions import Action, CorrectionsFile, Decision, find_decided

FILTERS = ("label", "split", "issue")
"""Columns by which a person chooses images."""
PRESENT = ["path", "image_id", "label", "split"]
"""Columns in which a row of the review must equal its row of the splits; other rows are left out."""


@dataclass(frozen=True)
class Next:
    """The next image of the queue, and the number of images that the same filter chooses."""

    image: dict[str, Any] | None  # a row of the review; None if nothing is left
    position: int  # in the review
    members: list[str]  # image_ids of the rest of the group, if the group shares label and suggestion
    agrees: bool  # True if the whole group shares label and suggestion
    decided: int
    left: int
    skipped: int  # images left before the position at which the search started


class Queue:
    """The rows of a review with something to look at. The corrections file says which of them are decided.

    Args:
        review: the table ``label_review``
        images: the splits, which have the present labels and the present split of each image
        file: where decisions are written
    """

    def __init__(self, review: pd.DataFrame, images: pd.DataFrame, file: CorrectionsFile) -> None:
        present = review.merge(images[PRESENT], on=PRESENT)
        self.rows = present.reset_index(drop=True)
        self.images, self.file = images, file
        self.classes = sorted(images["label"].unique())
        self._suspicious = self.rows["issue"] != ""
        facts = self.rows[["image_id", "label", "evidence"]].itertuples(index=False, name=None)
        self._facts = {image_id: (label, evidence) for image_id, label, evidence in facts}

    def options(self) -> dict[str, list[str]]:
        """Return the values of each column in ``FILTERS`` that a person can choose."""
        shown = self.rows[self._suspicious]
        return {name: list(shown[name].unique()) for name in FILTERS}

    def pending(self) -> pd.DataFrame:
        """Return the rows that a person has yet to decide."""
        return self.rows[self._suspicious & ~find_decided(self.file.read(), self.rows)]

    def next(self, start: int, chosen: Mapping[str, str]) -> Next:
        """Return the first image at position ``start`` or later that is not decided and has the ``chosen`` values."""
        matches = self._suspicious.copy()
        for name, value in chosen.items():
            matches &= self.rows[name] == value
        open_rows = ~find_decided(self.file.read(), self.rows)
        pending = matches & open_rows
        later = pending.index[pending & (pending.index >= start)]
        counts = (int((matches & ~open_rows).sum()), int(pending.sum()), int(pending[:start].sum()))
        if not len(later):
            return Next(None, len(self.rows), [], False, *counts)
        row = self.rows.loc[later[0]]
        group = self.rows[self.rows["group"] == row["group"]]
        like = (group["label"] == row["label"]) & (group["suggested"] == row["suggested"])
        rest = group.loc[like & open_rows[group.index], "image_id"].drop_duplicates()
        agrees = bool(like.all()) and row["suggested"] != row["label"]
        return Next(row.to_dict(), int(later[0]), rest[rest != row["image_id"]].tolist(), agrees, *counts)

    def decide(
        self, action: Action, image_ids: Sequence[str], label: str, who: str, model_version: str
    ) -> list[Decision]:
        """Write the decisions about undecided images; return these. A decision to keep keeps the present label.

        Raises:
            InputError: An image is not in the review, the class does not exist, or the file cannot be written.
        """
        if action == "relabel" and label not in self.classes:
            raise InputError(f"label: must be one of {', '.join(self.classes)}, got '{label}'")
        unknown = [image_id for image_id in image_ids if image_id not in self._facts]
        if unknown:
            raise InputError(f"image_ids: must be images of the review, got '{unknown[0]}'; load the page again")
        when = datetime.now(UTC).isoformat()
        decisions = []
        for image_id in dict.fromkeys(image_ids):
            present, why = self._facts[image_id]
            keeps = action == "keep" or (action == "relabel" and label == present)
            kind: Action = "keep" if keeps else action
            chosen = present if keeps else label
            decisions.append(Decision.of(kind, image_id, chosen, why, who, when, model_version))
        return self.file.add(decisions, self.rows)

    def find_decision(self, image_id: str) -> str:
        """Return the last decision about an image and its author, in words; an empty text if there is none."""
        rows = self.file.read()
        paths = self.rows.loc[self.rows["image_id"] == image_id, "path"]
        rows = rows[(rows["image_id"] == image_id) | rows["path"].isin(paths)]
        if rows.empty:
            return ""
        last = Decision(**{str(name): cell for name, cell in rows.iloc[-1].drop("path").items()})
        return f"{last} by {last.who}"


@dataclass(frozen=True)
class Desk:
    """Everything that a person needs to review images."""

    queue: Queue
    root: Root  # resolved
    transform: Transform  # rules of decoding
    who: str
    notes: list[str]  # sentences to show
