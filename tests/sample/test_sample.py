"""The sample in data/01_raw/characters equals the one that the code draws, and has no shortcuts to the label."""

from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.sample import dataset as sample_module
from goodbad_pipeline.sample.characters import CUE_SHARES, design_characters, design_guest
from goodbad_pipeline.sample.dataset import (
    COLUMNS,
    MANIFEST,
    SAMPLE_SEED,
    Sample,
    draw_sample,
    manifest_bytes,
    write_sample,
)
from goodbad_pipeline.sample.drawing import POSES, draw_character

COMMITTED = Path(__file__).parents[2] / "data" / "01_raw" / "characters"
TRAITS = ("skin_tone", "hair", "age", "clothes", "background", "pose")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return draw_sample()


@pytest.fixture(scope="module")
def proper(sample: Sample) -> pd.DataFrame:
    """The manifest without the odd files."""
    manifest = sample.manifest
    return manifest[~manifest["path"].str.startswith("images/odd/")]


def _open(sample: Sample, path: str) -> Image.Image:
    return Image.open(BytesIO(sample.files[path]))


def _pixels(sample: Sample, path: str) -> np.ndarray:
    return np.asarray(_open(sample, path).convert("RGB"))


# What is committed


@pytest.mark.no_cover
def test_drawing_again_gives_the_committed_files(sample: Sample) -> None:
    committed = {
        path.relative_to(COMMITTED).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in (COMMITTED / "images").rglob("*")
        if path.is_file()
    }
    drawn = {path: sha256(content).hexdigest() for path, content in sample.files.items()}
    assert drawn == committed


def test_the_committed_manifest_is_the_one_drawn(sample: Sample) -> None:
    assert (COMMITTED / MANIFEST).read_bytes() == manifest_bytes(sample.manifest)


def test_the_committed_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()) <= 4_000_000


@pytest.mark.no_cover
def test_another_seed_gives_other_characters() -> None:
    assert design_characters(1) != design_characters(2)
    assert design_characters(1) == design_characters(1)


def test_drawing_uses_no_text_and_no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("text was drawn")

    for owner, name in ((ImageDraw.ImageDraw, "text"), (ImageFont, "truetype"), (ImageFont, "load_default")):
        monkeypatch.setattr(owner, name, refuse)
    for character in design_characters(3)[:6]:
        draw_character(character, POSES[0], 3)


# Groups, labels and traits


def test_manifest_has_one_row_per_file(sample: Sample) -> None:
    assert tuple(sample.manifest.columns) == COLUMNS
    assert sorted(sample.manifest["path"]) == sorted(sample.files)
    assert not sample.manifest.isna().any(axis=None)


def test_sixty_characters_in_eight_poses_half_of_them_good(proper: pd.DataFrame) -> None:
    assert (proper.groupby("group")["pose"].nunique() == len(POSES)).all()
    assert (proper.groupby("group").size() == len(POSES)).all()
    assert len(proper[["group", "label"]].drop_duplicates()) == 60
    assert proper.groupby("group")["label"].first().value_counts().to_dict() == {"good": 30, "bad": 30}


@pytest.mark.parametrize("trait", TRAITS)
def test_traits_are_independent_of_the_label(proper: pd.DataFrame, trait: str) -> None:
    counts = pd.crosstab(proper[trait], proper["label"])
    assert len(counts) >= 3
    assert (counts["good"] == counts["bad"]).all()


def test_file_formats_are_independent_of_the_label(sample: Sample, proper: pd.DataFrame) -> None:
    assert not any("good" in path or "bad" in path for path in sample.files)
    formats = pd.crosstab(proper["path"].str[-3:], proper["label"])
    assert formats.loc["png"].to_dict() == {"good": 30, "bad": 30}
    sizes = proper.assign(size=[len(sample.files[path]) for path in proper["path"]])
    mean = sizes.groupby("label")["size"].mean()
    assert mean["good"] == pytest.approx(mean["bad"], rel=0.15)


def test_the_order_of_the_characters_is_independent_of_the_label(proper: pd.DataFrame) -> None:
    labels = proper.groupby("group")["label"].first().sort_index()
    first_half = (labels.iloc[:30] == "good").sum()
    assert 8 <= first_half <= 22


# Cues


@pytest.mark.no_cover
@pytest.mark.parametrize("cue", CUE_SHARES)
def test_each_cue_agrees_with_the_label_most_of_the_time_only(cue: str) -> None:
    cast = design_characters(SAMPLE_SEED)
    agreeing = [getattr(character.cues, cue) == (1 if character.label == "good" else -1) for character in cast]
    assert 0.65 <= np.mean(agreeing) <= 0.9


@pytest.mark.no_cover
def test_all_cues_together_predict_the_label() -> None:
    cast = design_characters(SAMPLE_SEED)
    votes = [sum(vars(character.cues).values()) * (1 if character.label == "good" else -1) for character in cast]
    assert np.mean([vote > 0 for vote in votes]) >= 0.95


def test_colours_alone_do_not_predict_the_label(sample: Sample, proper: pd.DataFrame) -> None:
    histograms = [
        np.histogramdd(_pixels(sample, path)[::2, ::2].reshape(-1, 3), bins=8, range=[(0, 256)] * 3)[0].ravel()
        for path in proper["path"]
    ]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(model, np.array(histograms), proper["label"], groups=proper["group"], cv=folds)
    assert scores.mean() < 0.68


# Images


def test_images_are_192_pixels_and_differ(sample: Sample, proper: pd.DataFrame) -> None:
    assert {_open(sample, path).size for path in proper["path"]} == {(192, 192)}
    assert len({sample.files[path] for path in proper["path"]}) == len(proper)


def test_images_of_one_character_are_no_near_duplicates(sample: Sample, proper: pd.DataFrame) -> None:
    hashes = np.array([_difference_hash(sample, path) for path in proper["path"]], dtype=int)
    distances = hashes @ (1 - hashes.T) + (1 - hashes) @ hashes.T
    np.fill_diagonal(distances, hashes.shape[1])
    assert distances.min() > 5


def _difference_hash(sample: Sample, path: str) -> np.ndarray:
    grey = np.asarray(_open(sample, path).convert("L").resize((9, 8), Image.Resampling.BOX)).astype(int)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


# The bad files


def _rows(sample: Sample, *stems: str) -> pd.DataFrame:
    paths = [f"images/odd/{stem}.jpg" for stem in stems]
    return sample.manifest.set_index("path").loc[paths]


def test_cut_short_is_a_jpeg_that_ends_too_early(sample: Sample) -> None:
    image = _open(sample, "images/odd/cut_short.jpg")
    assert image.format == "JPEG"
    with pytest.raises(OSError, match="truncated"):
        image.load()


def test_empty_has_no_bytes_and_note_is_text(sample: Sample) -> None:
    assert sample.files["images/odd/empty.jpg"] == b""
    assert sample.files["images/odd/note.jpg"].isascii()
    with pytest.raises(UnidentifiedImageError):
        _open(sample, "images/odd/note.jpg")


def test_sideways_is_upright_after_its_orientation_is_applied(sample: Sample) -> None:
    image = _open(sample, "images/odd/sideways.jpg")
    assert image.getexif()[0x0112] == 6
    upright = np.asarray(ImageOps.exif_transpose(image)).astype(float)
    drawn = np.asarray(draw_character(design_guest(SAMPLE_SEED, 60), POSES[0], SAMPLE_SEED)).astype(float)
    assert np.abs(upright - drawn).mean() < 6
    assert np.abs(np.asarray(image).astype(float) - drawn).mean() > 20


def test_copy_and_edit_have_their_own_group_names(sample: Sample) -> None:
    digests = {path: sha256(content).digest() for path, content in sample.files.items()}
    copy = "images/odd/copy.jpg"
    twins = [path for path, digest in digests.items() if digest == digests[copy] and path != copy]
    groups = sample.manifest.set_index("path")["group"]
    assert len(twins) == 1
    assert groups[copy] != groups[twins[0]]
    assert groups["images/odd/edited.jpg"] not in set(groups.drop("images/odd/edited.jpg"))


def test_edit_looks_like_its_original(sample: Sample) -> None:
    edited = _difference_hash(sample, "images/odd/edited.jpg")
    original = _difference_hash(sample, "images/character_012/pose_2.jpg")
    assert (edited != original).sum() <= 3
    assert sample.files["images/odd/edited.jpg"] != sample.files["images/character_012/pose_2.jpg"]
    labels = sample.manifest.set_index("path")["label"]
    assert labels["images/odd/edited.jpg"] == labels["images/character_012/pose_2.jpg"]


def test_one_image_has_both_labels(sample: Sample) -> None:
    assert sample.files["images/odd/twice_0.jpg"] == sample.files["images/odd/twice_1.jpg"]
    assert _rows(sample, "twice_0", "twice_1")["label"].tolist() == ["good", "bad"]


# Writing


@pytest.fixture
def small(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """A sample of three images that `write_sample` is made to draw."""
    paths = list(sample.files)[:3]
    small = Sample({path: sample.files[path] for path in paths}, sample.manifest.head(3))
    monkeypatch.setattr(sample_module, "draw_sample", lambda seed: small)
    return small


def test_write_sample_writes_all_files_and_leaves_others_alone(small: Sample, tmp_path: Path) -> None:
    foreign = tmp_path / "images" / "mine.jpg"
    foreign.parent.mkdir()
    foreign.write_bytes(b"mine")
    manifest = write_sample(tmp_path)
    assert manifest.read_bytes() == manifest_bytes(small.manifest)
    assert all((tmp_path / path).read_bytes() == content for path, content in small.files.items())
    assert foreign.read_bytes() == b"mine"
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(small.files) + 2


def test_write_sample_that_fails_leaves_the_old_file_whole(
    small: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuse(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match=r"pose_0\.png: cannot be written \(disk full\)"):
        write_sample(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
