"""The endpoints of the review, over HTTP; tests/browser looks at the page itself."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from review_kit import make_reviewed

from goodbad_pipeline.app import HOST, create_app
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import read_corrections
from goodbad_pipeline.review.queue import Desk
from goodbad_pipeline.stored_review import STALE, load_desk, open_project


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory) -> Path:
    return make_reviewed(tmp_path_factory.mktemp("routes") / "project")


@pytest.fixture
def desk(reviewed: Path, tmp_path: Path, monkeypatch) -> Desk:
    project = shutil.copytree(reviewed, tmp_path / "project")
    monkeypatch.chdir(project)
    (project / "conf/local/parameters.yml").write_text("images: {corrections: own.csv}\n")
    return load_desk(open_project(), "Ann")


@pytest.fixture
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(create_app(None, desk=desk, no_model="no model yet"), f"http://{HOST}") as client:
        yield client


def test_without_a_model_the_page_reviews_and_says_why_it_predicts_nothing(client: TestClient, desk: Desk) -> None:
    assert client.get("/model").json() == {"detail": "no model yet"}
    assert client.post("/predict", content=b"x").status_code == 404
    described = client.get("/review").json()
    assert described == {
        "classes": ["bad", "good"],
        "filters": {"label": ["bad", "good"], "split": ["validation", "train"], "issue": ["label", "dark"]},
        "who": "Ann",
        "notes": [],
        "file": str(desk.queue.file.path),
    }
    assert desk.queue.file.path == Path.cwd() / "own.csv"


def test_a_decision_is_stored_at_once_and_undone(client: TestClient, desk: Desk) -> None:
    first = client.get("/review/next").json()["image"]["image_id"]
    body = {"action": "relabel", "image_ids": [first], "label": "good"}
    written = client.post("/review/decisions", json=body).json()
    assert read_corrections(desk.queue.file.path)["image_id"].tolist() == [first]
    assert client.get("/review/next").json()["image"]["image_id"] != first
    again = client.post("/review/decisions", json={"action": "exclude", "image_ids": [first]})
    assert (again.status_code, again.json()) == (409, {"detail": "Decided already: relabelled to good by Ann"})
    assert client.post("/review/undo", json=written).json() == 1
    assert client.get("/review/next").json()["image"]["image_id"] == first


def test_filters_are_query_parameters(client: TestClient) -> None:
    found = client.get("/review/next", params={"issue": "dark", "split": "", "start": 3}).json()
    assert (found["image"]["issue"], found["left"]) == ("dark", 1)


@pytest.mark.parametrize(
    "body",
    [
        {"action": "relabel", "image_ids": ["x"], "label": "ugly"},
        {"action": "keep", "image_ids": ["x"]},
        {"action": "delete", "image_ids": []},
    ],
)
def test_what_is_no_decision_is_refused_and_nothing_is_written(client: TestClient, desk: Desk, body: dict) -> None:
    assert client.post("/review/decisions", json=body).status_code in (404, 422)
    assert not desk.queue.file.path.exists()


def test_another_sites_page_decides_nothing(client: TestClient, desk: Desk) -> None:
    body = {"action": "keep", "image_ids": [desk.queue.rows["image_id"][0]]}
    foreign = client.post("/review/decisions", json=body, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, desk.queue.file.path.exists()) == (403, False)


def test_images_of_the_splits_are_shown_upright_and_others_are_not_found(client: TestClient, desk: Desk) -> None:
    row = desk.queue.images.iloc[0]
    shown = client.get(f"/review/images/{row['image_id']}?side=20")
    assert (shown.headers["content-type"], Image.open(io.BytesIO(shown.content)).size) == ("image/png", (20, 20))
    large = Image.fromarray(np.zeros((300, 900, 3), np.uint8)).getexif()
    large[274] = 6  # rotated by a quarter
    Image.new("RGB", (900, 300)).save(desk.root / row["path"], "JPEG", exif=large)
    turned = client.get(f"/review/images/{row['image_id']}?side=600")
    assert (turned.headers["content-type"], Image.open(io.BytesIO(turned.content)).size) == ("image/jpeg", (200, 600))
    (desk.root / row["path"]).unlink()
    assert client.get(f"/review/images/{row['image_id']}").status_code == 404
    assert client.get(f"/review/images/{'f' * 64}").status_code == 404


def test_without_a_review_the_page_says_what_to_run() -> None:
    with TestClient(create_app(None, no_review="nothing to review yet"), f"http://{HOST}") as client:
        assert client.get("/review").json() == {"missing": "nothing to review yet"}


def test_a_decision_about_no_image_is_refused(client: TestClient) -> None:
    assert client.post("/review/decisions", json={"action": "keep", "image_ids": []}).status_code == 422


def test_decisions_lie_beside_the_images_of_the_review_not_beside_those_of_the_parameters(desk: Desk) -> None:
    other = shutil.copytree(Path.cwd() / "data/01_raw/characters", Path.cwd() / "data/01_raw/other")
    Path("conf/local/parameters.yml").unlink()
    Path("data/01_raw/characters.corrections.csv").write_text("image_id,label,why,who\n")
    images = desk.queue.images.copy(deep=False)
    images.attrs["root"] = str(other)
    images.to_parquet("data/05_model_input/splits.parquet")
    found = load_desk(open_project(), " ")
    assert (found.root, found.queue.file.path) == (other, other.with_name("other.corrections.csv"))
    assert found.who.strip()
    images.attrs["root"] = str(other / "*.tar")
    images.to_parquet("data/05_model_input/splits.parquet")
    with pytest.raises(InputError, match=r"images\.corrections: must name a file"):
        load_desk(open_project(), "Ann")


def test_a_review_of_other_splits_is_shown_with_a_note(desk: Desk) -> None:
    images = desk.queue.images.copy(deep=False)
    moved = images["group"] == images["group"][0]
    images["split"] = images["split"].mask(moved, "test")
    images.to_parquet("data/05_model_input/splits.parquet")
    found = load_desk(open_project(), None)
    assert found.notes == [STALE]
    assert len(found.queue.rows) == len(desk.queue.rows) - moved.sum() < len(desk.queue.rows)


def test_a_review_of_other_labels_is_shown_with_a_note(desk: Desk) -> None:
    file = Path("data/05_model_input/splits.parquet")
    changed = desk.queue.images.assign(label=["good", *desk.queue.images["label"][1:]])
    changed.to_parquet(file)
    found = load_desk(open_project(), None)
    assert found.notes == [STALE]
    assert len(found.queue.rows) == len(desk.queue.rows) - 1
    assert found.who


def test_decisions_are_by_default_beside_the_images(desk: Desk) -> None:
    Path("conf/local/parameters.yml").unlink()
    expected = Path.cwd() / "data/01_raw/characters.corrections.csv"
    moved = load_desk(open_project(), "Ann")  # the stored root is the folder from which the project was copied
    assert moved.queue.file.path in (expected, desk.root.with_name("characters.corrections.csv"))
    Path("conf/local/parameters.yml").write_text("images: {root: 's3://bucket/pets'}\n")
    images = desk.queue.images.copy(deep=False)
    images.attrs["root"] = "s3://bucket/pets"
    images.to_parquet("data/05_model_input/splits.parquet")
    with pytest.raises(InputError, match=r"images\.corrections: must name a file"):
        load_desk(open_project(), "Ann")


def test_without_a_stored_review_it_is_one_line(desk: Desk) -> None:
    Path("data/08_reporting/label_review.parquet").unlink()
    with pytest.raises(
        InputError, match="label_review: there is nothing to review yet; run kedro run --pipeline=review"
    ):
        load_desk(open_project(), None)
    Path("data/05_model_input/splits.parquet").unlink()
    with pytest.raises(InputError, match="splits: there is nothing to review yet; run kedro run --pipeline=data, then"):
        load_desk(open_project(), None)
