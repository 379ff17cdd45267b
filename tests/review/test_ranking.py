"""Ranking of labels on features that tell the classes, with a few wrong labels."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from goodbad_pipeline.review.issues import ISSUES
from goodbad_pipeline.review.ranking import find_examples, find_neighbours, rank_labels, review_table

NAMES = ["cat", "dog", "owl"]


def classifier(features: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function like out-of-fold predictions: probabilities by the distance to each class's median."""

    def predict(y: np.ndarray) -> np.ndarray:
        centres = np.stack([np.median(features[y == index], axis=0) for index in range(3)])
        odds = np.exp(-((features[:, None] - centres) ** 2).sum(axis=2))
        return odds / odds.sum(axis=1, keepdims=True)

    return predict


@pytest.fixture(scope="module")
def review() -> SimpleNamespace:
    """Groups of three images; one image of group 0 and all images of group 1 have wrong labels."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3)
    true = groups % 3
    features = 2 * np.eye(3)[true] + 0.25 * rng.normal(size=(180, 3))
    y = true.copy()
    y[0], y[3:6] = 2, 0
    images = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in range(180)],
            "path": [f"{number}.png" for number in range(180)],
            "group": groups.astype(str),
            "label": np.array(NAMES)[y],
            "split": "train",
        }
    )
    neighbours = find_neighbours(features, groups, 5)
    ranking = rank_labels(y, groups, NAMES, classifier(features), neighbours, planted=0.1, seed=0)
    examples = tuple(find_examples(features, groups, y, wanted) for wanted in (y, ranking.suspicion.second))
    found = pd.DataFrame(False, images.index, list(ISSUES)[1:])
    found.loc[[7, 3], "dark"] = True
    table = review_table(images, NAMES, ranking, examples, found, least_probability=0.3)
    return SimpleNamespace(**locals())


def test_wrong_labels_come_first_and_a_group_that_agrees_has_one_probability(review: SimpleNamespace) -> None:
    first = review.table.head(4)
    assert set(first["path"]) == {"0.png", "3.png", "4.png", "5.png"}
    assert (first["issue"] == "label").all()
    group = first[first["group"] == "1"]
    assert group.index[-1] - group.index[0] == 2
    assert len(set(group["probability"])) == 1
    assert group["suggested"].tolist() == ["dog"] * 3
    assert group["evidence"].str.contains("all 3 images of the group").all()
    single = review.table.set_index("path").loc["0.png"]
    assert single[["label", "suggested"]].tolist() == ["owl", "cat"]
    assert single["p_suggested"] > 0.5 > single["p_label"]
    assert single["neighbours"] == 0
    assert "0% have this label" in single["evidence"]
    assert "agree" not in single["evidence"]


def test_right_labels_have_no_suggestion(review: SimpleNamespace) -> None:
    rest = review.table.iloc[4:]
    assert (rest["suggested"] == rest["label"]).all()
    assert (rest["probability"] < 0.3).all()
    assert (rest["nearest_suggested"] == "").all()
    assert set(rest["issue"]) == {"", "dark"}
    assert rest.set_index("path").loc["7.png", "evidence"].startswith("The image is dark. ")


def test_examples_are_of_other_groups_and_of_the_named_class(review: SimpleNamespace) -> None:
    by_id = review.images.set_index("image_id")
    for row in review.table.itertuples():
        for column, label in (("nearest_label", row.label), ("nearest_suggested", row.suggested)):
            shown = by_id.loc[getattr(row, column).split()]
            assert (shown["label"] == label).all()
            assert (shown["group"] != row.group).all()
            assert len(shown) == 3 or column == "nearest_suggested"


def test_shares_of_wrong_labels_have_an_interval_for_all_images_and_each_class(review: SimpleNamespace) -> None:
    shares = review.ranking.shares
    assert shares["class"].tolist() == ["", *NAMES]
    assert shares["images"].tolist() == [180, 62, 57, 61]
    assert (shares["low"] <= shares["share"]).all()
    assert (shares["share"] <= shares["high"]).all()
    assert shares.loc[0, "low"] < 4 / 180 < shares.loc[0, "high"] < 0.1


def test_labels_of_a_class_with_one_group_are_not_judged(review: SimpleNamespace) -> None:
    y = np.where(review.true == 2, 0, review.true)
    y[review.groups == 2] = 2
    alone = review.groups == 2
    features = 2 * np.eye(3)[np.where(alone, 0, y)] + 0.2 * np.random.default_rng(1).normal(size=(180, 3))
    neighbours = find_neighbours(features, review.groups, 5)
    ranking = rank_labels(y, review.groups, NAMES, classifier(features), neighbours, planted=0.1, seed=0)
    assert (neighbours.votes(y, 3)[alone, 2] == 0).all()  # the evidence is against their label
    assert (ranking.probability[alone] == 0).all()
    assert (ranking.probability[~alone] > 0).all()
    shares = ranking.shares.set_index("class")
    assert shares.loc[NAMES[2], ["share", "low", "high"]].isna().all()
    assert shares.loc["", "share"] == pytest.approx(ranking.probability[~alone].mean())


def test_neighbours_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(1)
    features, groups = rng.normal(size=(1100, 4)), rng.integers(0, 300, 1100)  # more than one block
    nearest = find_neighbours(features, groups, 4)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    units = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    similar = units @ units.T
    similar[groups[:, None] == groups] = -np.inf
    np.testing.assert_allclose(nearest.similarities, -np.sort(-similar, axis=1)[:, :4], rtol=1e-9)
    assert (groups[nearest.indices] != groups[:, None]).all()


def test_an_image_without_images_of_other_groups_has_no_neighbours() -> None:
    nearest = find_neighbours(np.eye(3), np.zeros(3, int), 5)
    assert not np.isfinite(nearest.similarities).any()
    assert nearest.votes(np.array([0, 1, 1]), 2).sum() == 0
    assert nearest.mean_similarity.tolist() == [0, 0, 0]
    assert nearest.joined(np.array(["a", "b", "c"], object)).tolist() == ["", "", ""]
