from pathlib import Path

import pytest
from factories import write_manifest
from review_kit import tables

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import apply_corrections, read_corrections
from goodbad_pipeline.review.decisions import Action, CorrectionsFile
from goodbad_pipeline.review.queue import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    splits, review = tables(write_manifest(tmp_path / "images", groups=2, per_group=3))
    return Queue(review, splits, CorrectionsFile(tmp_path / "corrections.csv"))


def decide(queue: Queue, action: Action, *ids: str, label: str = "") -> None:
    assert queue.decide(action, ids, label, "Ann", "")


def test_decided_images_are_not_asked_again_and_the_rest_comes_in_order(queue: Queue) -> None:
    asked = []
    while (found := queue.next(0, {})).image:
        asked.append(found.image["path"])
        decide(queue, "keep", found.image["image_id"])
    assert asked == queue.rows["path"].tolist()[:-1]  # the last one has nothing to look at
    assert (found.decided, found.left) == (11, 0)


def test_filters_choose_and_the_counts_are_theirs(queue: Queue) -> None:
    found = queue.next(0, {"label": "good", "split": "train"})
    assert found.image["path"] == queue.rows["path"][6]
    assert (found.decided, found.left, found.skipped) == (0, 3, 0)
    assert queue.next(0, {"issue": "dark"}).image["path"] == queue.rows["path"][10]
    assert queue.options()["issue"] == ["label", "dark"]


def test_skipped_images_are_counted_and_asked_again_from_the_start(queue: Queue) -> None:
    assert queue.next(2, {}).skipped == 2
    end = queue.next(len(queue.rows), {})
    assert (end.image, end.skipped) == (None, 11)
    assert queue.next(0, {}).position == 0


def test_a_group_that_agrees_is_offered_as_a_whole(queue: Queue) -> None:
    ids = queue.rows["image_id"]
    first = queue.next(0, {})
    assert (first.members, first.agrees) == ([ids[1], ids[2]], True)
    queue.rows.loc[2, "suggested"] = "bad"
    assert (queue.next(0, {}).members, queue.next(0, {}).agrees) == ([ids[1]], False)
    decide(queue, "exclude", ids[0], ids[1])
    assert queue.next(0, {}).members == []


def test_a_relabelling_to_the_present_label_keeps_it(queue: Queue) -> None:
    (decision,) = queue.decide("relabel", [queue.rows["image_id"][0]], "bad", "Ann", "goodbad 2")
    assert (str(decision), decision.who, decision.model_version) == ("kept as bad", "Ann", "goodbad 2")
    assert queue.find_decision(decision.image_id) == "kept as bad by Ann"
    assert queue.find_decision("f" * 64) == ""
    queue.file.path.write_text(f"path,label,exclude,why,who\n{queue.rows['path'][1]},good,false,x,Bob\n")
    assert queue.find_decision(queue.rows["image_id"][1]) == "relabelled to good by Bob"


def test_images_that_are_gone_or_have_another_label_or_split_now_are_not_asked(queue: Queue) -> None:
    images = queue.images.drop(0)
    images.loc[1, "label"] = "good"
    images.loc[2, "split"] = "test"
    assert Queue(queue.rows, images, queue.file).next(0, {}).image["path"] == queue.rows["path"][3]


def test_a_class_or_image_that_does_not_exist_is_one_line(queue: Queue) -> None:
    with pytest.raises(InputError, match="label: must be one of bad, good, got 'ugly'"):
        decide(queue, "relabel", queue.rows["image_id"][0], label="ugly")
    with pytest.raises(InputError, match="image_ids: must be images of the review, got 'x'"):
        decide(queue, "keep", "x")
    assert not queue.file.path.exists()


def test_the_next_run_applies_the_decisions(queue: Queue) -> None:
    ids = queue.rows["image_id"]
    decide(queue, "relabel", ids[0], label="good")
    decide(queue, "keep", ids[1])
    decide(queue, "exclude", ids[2])
    nothing = queue.images.iloc[:0].assign(reason="", detail="")
    done = apply_corrections(queue.images, nothing, read_corrections(queue.file.path))
    assert done.images["label"].tolist() == ["good", *queue.images["label"][1:2], *queue.images["label"][3:]]
    assert done.excluded["detail"].tolist() == ["Nine of ten neighbours are good. (Ann)"]
    assert done.report["row"].tolist() == [1, 3]
