import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories import encoded, make_image
from PIL import Image, ImageEnhance

from goodbad_pipeline.images.duplicates import Grouping, group_duplicates
from goodbad_pipeline.images.reading import difference_hash
from goodbad_pipeline.images.scan import scan_candidates


def cartoon(seed: int) -> Image.Image:
    """An image of a few large patches, as in photographs; noise would have no stable hash."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(patches).resize((96, 96), Image.Resampling.BICUBIC)


def group(root: Path, files: list[tuple[str, bytes, str, str | None, str | None]], distance: int = 4) -> Grouping:
    for name, data, *_ in files:
        (root / name).write_bytes(data)
    table = pd.DataFrame([(name, *rest) for name, _, *rest in files], columns=["path", "label", "group", "split"])
    scan = scan_candidates(table.astype(object), root, max_pixels=10**6, background=(0, 0, 0))
    assert scan.quarantine.empty
    return group_duplicates(scan.images, distance)


def test_exact_copies_share_a_group_whatever_their_format(tmp_path: Path) -> None:
    image = cartoon(1)
    files = [
        ("a.png", encoded(image), "x", "one", None),
        ("b.bmp", encoded(image, "BMP"), "x", "two", None),
        ("c.png", encoded(cartoon(2)), "x", "three", None),
    ]
    result = group(tmp_path, files)
    assert result.labels.set_index("path")["group"].to_dict() == {"a.png": "one", "b.bmp": "one", "c.png": "three"}
    pair = result.duplicates.iloc[0]
    assert (pair["path"], pair["twin"], pair["kind"], pair["group"]) == ("b.bmp", "a.png", "exact", "two")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: Image.open(io.BytesIO(encoded(image, "JPEG", quality=60))),
        lambda image: ImageEnhance.Brightness(image).enhance(1.06),
        lambda image: image.resize((70, 70), Image.Resampling.BICUBIC),
    ],
)
def test_near_duplicates_share_a_group(tmp_path: Path, change) -> None:
    files = [
        ("a.png", encoded(cartoon(1)), "x", "one", None),
        ("b.png", encoded(change(cartoon(1))), "x", "two", None),
        ("c.png", encoded(cartoon(3)), "x", "three", None),
    ]
    result = group(tmp_path, files)
    assert result.labels["group"].tolist() == ["one", "one", "three"]
    assert result.duplicates["kind"].tolist() == ["near"]
    assert len(group(tmp_path, files, distance=-1).duplicates) == 0


def test_similar_outlines_in_other_colours_are_different_images(tmp_path: Path) -> None:
    red = cartoon(1)
    blue = Image.merge("RGB", red.split()[::-1])
    assert difference_hash(np.asarray(red.convert("L").convert("RGB"))) is not None
    result = group(tmp_path, [("a.png", encoded(red), "x", "1", None), ("b.png", encoded(blue), "x", "2", None)], 16)
    assert result.duplicates.empty


def test_groups_are_merged_through_chains(tmp_path: Path) -> None:
    first, second = cartoon(1), cartoon(2)
    files = [
        ("a.png", encoded(first), "x", "A", None),
        ("b.bmp", encoded(first, "BMP"), "x", "B", None),
        ("c.png", encoded(second), "x", "B", None),
        ("d.bmp", encoded(second, "BMP"), "x", "C", None),
    ]
    assert set(group(tmp_path, files).labels["group"]) == {"A"}


def test_an_image_under_two_labels_is_quarantined_with_both_paths(tmp_path: Path) -> None:
    data = encoded(cartoon(1))
    files = [
        ("a.png", data, "good", "1", None),
        ("b.png", data, "bad", "2", None),
        ("c.png", encoded(cartoon(2)), "bad", "3", None),
    ]
    result = group(tmp_path, files)
    assert result.labels["path"].tolist() == ["c.png"]
    assert result.conflicts["reason"].tolist() == ["conflicting_label"] * 2
    assert all("a.png as 'good' and b.png as 'bad'" in detail for detail in result.conflicts["detail"])


def test_a_copy_without_a_group_does_not_rename_a_group(tmp_path: Path) -> None:
    one, two = cartoon(1), cartoon(2)
    first = [("a.png", encoded(one), "x", "zebra", None), ("b.png", encoded(two), "x", None, None)]
    added = [(f"{n}.bmp", encoded(image, "BMP"), "x", None, None) for n, image in (("c", one), ("d", two))]
    before, after = (group(tmp_path, files).labels.set_index("path")["group"] for files in (first, added + first))
    assert after["c.bmp"] == "zebra"
    assert after["b.png"] == after["d.bmp"]
    assert after[before.index].equals(before)


def test_sets_of_copies_have_names_of_their_own(tmp_path: Path) -> None:
    files = [
        ("a.png", encoded(cartoon(1)), "x", "one", None),
        ("b.bmp", encoded(cartoon(1), "BMP"), "x", "one", None),
        ("c.png", encoded(cartoon(2)), "x", "one", None),
    ]
    labels = group(tmp_path, files).labels.set_index("path")
    assert labels.loc["a.png", "copies"] == labels.loc["b.bmp", "copies"] != labels.loc["c.png", "copies"]


def test_copies_across_a_given_split_are_kept_in_test(tmp_path: Path) -> None:
    data = encoded(cartoon(1))
    files = [
        ("a.png", data, "x", None, "train"),
        ("b.png", data, "x", None, "test"),
        ("c.png", encoded(cartoon(2)), "x", None, "train"),
    ]
    result = group(tmp_path, files)
    assert result.labels["path"].tolist() == ["b.png", "c.png"]
    assert result.conflicts[["path", "reason"]].values.tolist() == [["a.png", "split_leak"]]


def test_without_groups_every_image_is_its_own_group(tmp_path: Path) -> None:
    files = [(f"{n}.png", encoded(make_image(n, bright=True)), "x", None, None) for n in range(5)]
    assert group(tmp_path, files).labels["group"].nunique() == 5


def test_single_coloured_images_are_copies_of_equal_colours_only(tmp_path: Path) -> None:
    flat = [Image.new("RGB", (20, 20 + extra), (grey,) * 3) for extra, grey in ((0, 0), (1, 0), (2, 255))]
    files = [(f"{n}.png", encoded(image), "x", str(n), None) for n, image in enumerate(flat)]
    assert group(tmp_path, files).labels["group"].tolist() == ["0", "0", "2"]


@pytest.mark.parametrize(
    ("rows", "kept", "reasons"),
    [
        ([("cat", None, None), ("dog", None, None)], [], ["conflicting_label"] * 2),
        (
            [("cat", None, None), ("dog", None, None), ("cat", None, None)],
            [],
            ["listed_twice"] + ["conflicting_label"] * 2,
        ),
        ([("cat", None, "train"), ("cat", None, "test")], [("cat", "test")], ["split_leak"]),
        ([("cat", None, "validation"), ("cat", None, "train")], [("cat", "validation")], ["split_leak"]),
        ([("cat", None, None), ("cat", None, None)], [("cat", None)], ["listed_twice"]),
        ([("cat", "a", None), ("cat", "b", None)], [("cat", None)], ["listed_twice"]),
        ([(None, None, None), ("cat", None, None)], [("cat", None)], ["no_label"]),
    ],
)
def test_rows_of_one_path_are_copies_of_one_image(tmp_path: Path, rows: list, kept: list, reasons: list) -> None:
    (tmp_path / "1.png").write_bytes(encoded(cartoon(1)))
    table = pd.DataFrame([("1.png", *row) for row in rows], columns=["path", "label", "group", "split"], dtype=object)
    scan = scan_candidates(table, tmp_path, max_pixels=10**6, background=(0, 0, 0))
    result = group_duplicates(scan.images, 4)
    assert list(zip(result.labels["label"], result.labels["source_split"], strict=True)) == kept
    assert [*scan.quarantine["reason"], *result.conflicts["reason"]] == reasons
    assert result.duplicates.empty


def test_a_path_with_two_groups_joins_them(tmp_path: Path) -> None:
    rows = [("1.png", "a"), ("2.png", "a"), ("1.png", "b"), ("3.png", "b"), ("4.png", "c")]
    for number in range(1, 5):
        (tmp_path / f"{number}.png").write_bytes(encoded(cartoon(number)))
    table = pd.DataFrame(rows, columns=["path", "group"], dtype=object).assign(label="x", split=None)
    for _ in range(2):  # the second scan reads the cache
        scan = scan_candidates(
            table, tmp_path, max_pixels=10**6, background=(0, 0, 0), cache_folder=tmp_path.with_name("cache")
        )
        labels = group_duplicates(scan.images, 4).labels
        assert labels.set_index("path")["group"].to_dict() == {"1.png": "a", "2.png": "a", "3.png": "a", "4.png": "c"}
