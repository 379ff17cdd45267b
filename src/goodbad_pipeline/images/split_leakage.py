"""Find images that occur in several splits (leaks), and measure how much a plain random split would have leaked.

Leaks are measured by a nearest-neighbour classifier, which predicts the label of the training image with the most
similar thumbnail. Leaks raise the accuracy of this classifier. The measure is therefore the accuracy on a plain random
split, which ignores groups, minus the accuracy on the split in use.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from goodbad_pipeline.errors import counted
from goodbad_pipeline.images.near_duplicates import unit_thumbnails
from goodbad_pipeline.images.splits import SPLITS

MAX_PROBED = 1000  # test images that the nearest-neighbour classifier predicts
BLOCK = 2**14  # training images compared at a time: about 150 MB of memory

Thumbnails = Callable[[np.ndarray], np.ndarray]
"""Function from positions of images, shape (m,), to their thumbnails, uint8 of shape (m, k)."""

PLAIN, OURS = "plain random", "this one"


def find_leaks(splits: pd.DataFrame, exposed: int = 0) -> list[str]:
    """Return one line per kind of leak: groups, files or images in several splits, and exposed test images.

    ``exposed`` is the number of exposed test images. A test image is exposed if the initial weights were trained or
    selected on any image of its group.
    """
    leaks = []
    for column, name in {"group": "group", "image_id": "file", "pixel_id": "image"}.items():
        if column in splits.columns:
            counts = splits.groupby(column)["split"].nunique()
            leaking = counts[counts > 1]
            if len(leaking):
                leaks.append(f"{counted(len(leaking), name)} in more than one split (first: {leaking.index[0]})")
    if exposed:
        tested = int((splits["split"] == "test").sum())
        images = f"{exposed} of {tested} test images or on other images of their groups"
        leaks.append(f"the initial weights were trained or selected on {images}")
    return leaks


def measure_leaks(splits: pd.DataFrame, thumbnails: Thumbnails, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Compare the split with a plain random split of the same sizes; return a table and metrics.

    ``splits`` has one row per image: image_id, label, group, copies (name of its set of copies) and split. ``seed``
    determines the plain split and, above ``MAX_PROBED`` test images, which test images the classifier predicts.

    The table has one row per split: split, test_images, copy_in_train (test images with an exact or near copy in
    train), group_in_train (test images whose group is in train), probed (test images that the classifier predicted),
    nearest_accuracy (accuracy on the probed images), nearest_accuracy_leaked (on probed images whose group is in train)
    and nearest_accuracy_rest (on all other probed images). An accuracy is NaN if there are no such images. The metric
    ``leak_accuracy_gain`` is nearest_accuracy on the plain split minus nearest_accuracy on the split in use. The former
    name of this metric, ``leak_worth``, is returned too.
    """
    rng = np.random.default_rng(seed)
    codes = pd.Categorical(splits["split"], categories=list(SPLITS)).codes
    compared = {PLAIN: rng.permutation(codes), OURS: codes}
    table = pd.DataFrame([_measure(name, splits, thumbnails, split, rng) for name, split in compared.items()])
    return table, _metrics(table.set_index("split"))


def _measure(
    name: str, splits: pd.DataFrame, thumbnails: Thumbnails, split: np.ndarray, rng: np.random.Generator
) -> dict[str, object]:
    train, test = (np.flatnonzero(split == SPLITS.index(name)) for name in ("train", "test"))
    copies, group = (
        splits[column].iloc[test].isin(splits[column].iloc[train].unique()).to_numpy() for column in ("copies", "group")
    )
    probed = np.sort(rng.choice(len(test), min(MAX_PROBED, len(test)), replace=False))
    labels = pd.factorize(splits["label"])[0]
    distinct = train[~splits["image_id"].iloc[train].duplicated().to_numpy()]
    correct = labels[distinct[_nearest(thumbnails, distinct, test[probed])]] == labels[test[probed]]
    return {
        "split": name,
        "test_images": len(test),
        "copy_in_train": int(copies.sum()),
        "group_in_train": int(group.sum()),
        "probed": len(probed),
        "nearest_accuracy": _accuracy(correct),
        "nearest_accuracy_leaked": _accuracy(correct[group[probed]]),
        "nearest_accuracy_rest": _accuracy(correct[~group[probed]]),
    }


def _nearest(thumbnails: Thumbnails, train: np.ndarray, probed: np.ndarray) -> np.ndarray:
    """Return, for each probed image, the index in ``train`` of the image with the most correlated thumbnail."""
    queries = unit_thumbnails(thumbnails(probed))
    best, nearest = np.full(len(probed), -np.inf, np.float32), np.zeros(len(probed), np.int64)
    for start in range(0, len(train), BLOCK):
        correlation = queries @ unit_thumbnails(thumbnails(train[start : start + BLOCK])).T
        top = correlation.argmax(axis=1)
        value = correlation[np.arange(len(probed)), top]
        better = value > best
        best[better], nearest[better] = value[better], start + top[better]
    return nearest


def _accuracy(correct: np.ndarray) -> float:
    return round(float(correct.mean()), 4) if len(correct) else float("nan")


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    plain, ours = (table.astype(float).to_dict("index")[name] for name in (PLAIN, OURS))
    gain = plain["nearest_accuracy"] - ours["nearest_accuracy"]
    values = {
        "leak_plain_copy_in_train": plain["copy_in_train"] / plain["test_images"],
        "leak_plain_group_in_train": plain["group_in_train"] / plain["test_images"],
        "leak_plain_nearest_accuracy": plain["nearest_accuracy"],
        "leak_nearest_accuracy": ours["nearest_accuracy"],
        "leak_accuracy_gain": gain,
        "leak_worth": gain,
    }
    return {name: round(value, 4) for name, value in values.items()}
