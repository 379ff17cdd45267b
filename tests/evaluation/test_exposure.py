"""Exposure of a model, and whether enough unexposed images are left."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.evaluation.exposure import NOTHING, UNKNOWN, Exposure, split_exposure, too_few_unexposed
from goodbad_pipeline.images.split_leakage import find_leaks

IDS = st.lists(st.text(min_size=1, max_size=4), unique=True, min_size=1, max_size=20)


def images(split: str, *image_ids: str, group: str | None = None) -> pd.DataFrame:
    return pd.DataFrame({"image_id": image_ids, "split": split, "group": group or list(image_ids), "label": "good"})


@given(IDS, IDS)
def test_exposure_is_all_but_the_test_split_and_that_of_the_sources(own: list[str], others: list[str]) -> None:
    exposure = split_exposure(images("train", *own)).union(split_exposure(images("validation", *others)))
    rows = images("test", *own, *others, *(f"{one}-new" for one in [*own, *others]))
    assert exposure.exposed_rows(rows).tolist() == rows["image_id"].isin([*own, *others]).tolist()
    assert split_exposure(images("test", *own)).digests.size == 0
    assert exposure.complete
    assert not exposure.union(UNKNOWN).complete
    assert not NOTHING.exposed_rows(rows).any()


def test_one_image_exposes_its_group() -> None:
    exposure = split_exposure(images("train", "a1"))
    rows = pd.concat([images("test", "a1", "a2", group="a"), images("test", "b1", group="b")])
    assert exposure.exposed_rows(rows).tolist() == [True, True, False]
    assert exposure.exposed_rows(rows.iloc[:0]).tolist() == []


@given(IDS, st.booleans())
def test_it_is_read_as_written_in_eight_bytes_per_image(tmp_path_factory, ids: list[str], complete: bool) -> None:
    file = tmp_path_factory.mktemp("exposure") / "exposure.npz"
    exposure = Exposure(split_exposure(images("train", *ids)).digests, complete)
    exposure.write(file)
    read = Exposure.read(file)
    np.testing.assert_array_equal(read.digests, exposure.digests)
    assert (read.digests.nbytes, read.complete) == (8 * len(ids), complete)


def test_digests_never_change() -> None:
    image_id = hashlib.sha256(b"a picture").hexdigest()
    assert split_exposure(images("train", image_id)).digests.tolist() == [91116027659626801]


@pytest.mark.parametrize(
    ("exposed", "total", "expected"),
    [
        (0, 4, None),
        (1, 4, "only 3 of 4 images of 'good' remain for a comparison, which needs 4"),
        (10, 20, None),
        (11, 20, "only 9 of 20 images of 'good' remain for a comparison, which needs 10"),
    ],
)
def test_ten_images_of_a_class_are_enough_or_all_of_it(exposed: int, total: int, expected: str | None) -> None:
    labels = pd.Series(["good"] * total + ["bad"] * 30)
    assert too_few_unexposed(labels, np.arange(total + 30) < exposed) == expected


def test_exposed_test_images_are_a_leak() -> None:
    splits = pd.concat([images("train", "a"), images("test", "b", "c")])
    assert find_leaks(splits) == find_leaks(splits, 0) == []
    (leak,) = find_leaks(splits, 1)
    assert leak.startswith("the initial weights were trained or selected on 1 of 2 test images")
