"""What a plain random split would have leaked: test images whose twin is in train, and what knowing it is worth.

The judge is the simplest memory there is: it calls a test image what the most similar training image is called. How
much better it does on a plain random split than on ours is what a model could earn there without learning anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goodbad_pipeline.images.near_duplicates import unit_thumbnails
from goodbad_pipeline.images.splits import SPLITS

ASKED = 1000  # test images whose nearest training image is looked for; fewer only where there are fewer
BLOCK = 2**14  # training images compared at a time: some 150 MB of scratch

Thumbnails = Callable[[np.ndarray], np.ndarray]
"""From positions (m,) to thumbnails, uint8 of shape (m, k)."""

PLAIN, OURS = "plain random", "this one"


@dataclass(frozen=True)
class LeakReport:
    """A plain random split beside the one that is used.

    Attributes:
        table: One row a split: split, test_images, copy_in_train (test images of which an exact or near copy is in
            train), group_in_train (of whose group one is), asked (test images asked for their nearest in train),
            nearest_accuracy (share of them that bears its label), and the same on those with and without their group
            in train: nearest_accuracy_leaked, nearest_accuracy_rest (missing where there are none).
        metrics: The same for MLflow, and ``leak_worth``: by how much nearest_accuracy is higher on the plain split.
    """

    table: pd.DataFrame
    metrics: dict[str, float]


def measure_leaks(splits: pd.DataFrame, thumbnails: Thumbnails, seed: int) -> LeakReport:
    """Compare the split with a plain random one of the same sizes.

    Args:
        splits: One row an image: image_id, label, group, copies (name of its set of copies) and split.
        thumbnails: From positions in ``splits`` to the thumbnails of those images.
        seed: Of the plain split, and of the choice of test images where there are many.
    """
    rng = np.random.default_rng(seed)
    side = pd.Categorical(splits["split"], categories=list(SPLITS)).codes
    sides = {PLAIN: rng.permutation(side), OURS: side}
    table = pd.DataFrame([_measure(name, splits, thumbnails, given, rng) for name, given in sides.items()])
    return LeakReport(table, _metrics(table.set_index("split")))


def _measure(
    name: str,
    splits: pd.DataFrame,
    thumbnails: Thumbnails,
    side: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, object]:
    train, test = (np.flatnonzero(side == SPLITS.index(name)) for name in ("train", "test"))
    leaked = {column: _shared(splits[column], train, test) for column in ("copies", "group")}
    asked = np.sort(rng.choice(len(test), min(ASKED, len(test)), replace=False))
    codes = pd.factorize(splits["label"])[0]
    known = train[~splits["image_id"].iloc[train].duplicated().to_numpy()]  # the same file again tells nothing new
    right = codes[known[_nearest(thumbnails, known, test[asked])]] == codes[test[asked]]
    with_group = leaked["group"][asked]
    return {
        "split": name,
        "test_images": len(test),
        "copy_in_train": int(leaked["copies"].sum()),
        "group_in_train": int(leaked["group"].sum()),
        "asked": len(asked),
        "nearest_accuracy": _share(right),
        "nearest_accuracy_leaked": _share(right[with_group]),
        "nearest_accuracy_rest": _share(right[~with_group]),
    }


def _shared(names: pd.Series, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Which test images share their name with one in train."""
    return names.iloc[test].isin(names.iloc[train].unique()).to_numpy()


def _nearest(thumbnails: Thumbnails, train: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Position in ``train`` of the image whose thumbnail is most like each of ``asked``; the first of equals."""
    questions = unit_thumbnails(thumbnails(asked))
    best, place = np.full(len(asked), -np.inf, np.float32), np.zeros(len(asked), np.int64)
    for start in range(0, len(train), BLOCK):
        likeness = questions @ unit_thumbnails(thumbnails(train[start : start + BLOCK])).T
        top = likeness.argmax(axis=1)
        value = likeness[np.arange(len(asked)), top]
        better = value > best
        best[better], place[better] = value[better], start + top[better]
    return place


def _share(right: np.ndarray) -> float:
    return round(float(right.mean()), 4) if len(right) else float("nan")


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    plain, ours = (table.astype(float).to_dict("index")[name] for name in (PLAIN, OURS))
    values = {
        "leak_plain_copy_in_train": plain["copy_in_train"] / plain["test_images"],
        "leak_plain_group_in_train": plain["group_in_train"] / plain["test_images"],
        "leak_plain_nearest_accuracy": plain["nearest_accuracy"],
        "leak_nearest_accuracy": ours["nearest_accuracy"],
        "leak_worth": plain["nearest_accuracy"] - ours["nearest_accuracy"],
    }
    return {name: round(value, 4) for name, value in values.items()}
