import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from review_kit import make_reviewed

from goodbad_pipeline import label_studio
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import apply_corrections, read_corrections

TASKS = label_studio.FOLDER / "tasks.json"
CORRECTIONS = Path("data/01_raw/characters.corrections.csv")


@pytest.fixture
def exported(tmp_path: Path, monkeypatch) -> list[dict[str, Any]]:
    """The tasks of a project, which is the current folder."""
    monkeypatch.chdir(make_reviewed(tmp_path / "project"))
    label_studio.main(["export"])
    return json.loads(TASKS.read_text())


def annotate(tasks: list[dict[str, Any]], *choices: str | None, **more: object) -> Path:
    """Write the tasks as Label Studio exports them, with the choices of a person about the first ones."""
    for number, (task, choice) in enumerate(zip(tasks, choices, strict=False), 1):
        result = [{"from_name": "class", "to_name": "image", "type": "choices", "value": {"choices": [choice]}}]
        one = {"id": number, "completed_by": {"id": 1, "email": "ann@here"}, "updated_at": "2026-12-01T10:00:00Z"}
        task.setdefault("annotations", []).append(one | {"result": result if choice else []} | more)
    for number, task in enumerate(tasks, 1):
        task.setdefault("annotations", [])
        task["id"] = number
    file = Path("annotated.json")
    file.write_text(json.dumps(tasks))
    return file


def imported(file: Path) -> pd.DataFrame:
    label_studio.main(["import", str(file)])
    return read_corrections(CORRECTIONS)


def failed(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        label_studio.main(arguments)
    assert end.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error")]
    return line


def test_each_suspicious_image_is_a_task_with_its_suggestion(exported: list[dict[str, Any]]) -> None:
    assert len(exported) == 35  # of 36 images; the last one has nothing to look at
    first = exported[0]
    assert first["data"]["image"] == "/data/local-files/?d=characters/images/bad_0_0.png"
    assert (first["data"]["label"], first["data"]["split"]) == ("bad", "validation")
    (prediction,) = first["predictions"]
    assert (prediction["score"], prediction["result"][0]["value"]) == (1.0, {"choices": ["good"]})
    config = TASKS.with_name("labeling_config.xml").read_text()
    assert '<Choice value="(excluded)"/>' in config


def test_label_studio_accepts_the_tasks_and_their_predictions(exported: list[dict[str, Any]]) -> None:
    reason = "pip install label-studio-sdk, in an environment of its own: it needs an older OpenCV"
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason=reason)
    project = interface.LabelInterface(TASKS.with_name("labeling_config.xml").read_text())
    project.validate()
    for task in exported:
        assert project.validate_task({"data": task["data"]})  # validate_task of a task with predictions fails in 2.1
        assert all(project.validate_prediction(prediction) for prediction in task["predictions"])


def test_class_names_are_escaped_in_the_configuration() -> None:
    assert """<Choice value='a"<b'/>""".replace("<b", "&lt;b") in label_studio.make_config(['a"<b'])


def test_annotations_become_corrections_of_the_next_run(exported: list[dict[str, Any]]) -> None:
    rows = imported(annotate(exported, "good", "bad", "(excluded)", None))
    assert rows[["image_id", "label", "exclude", "keep"]].values.tolist() == [
        [exported[0]["data"]["image_id"], "good", "", ""],
        [exported[1]["data"]["image_id"], "bad", "", "true"],
        [exported[2]["data"]["image_id"], "", "true", ""],
    ]
    assert rows["who"].tolist() == ["Label Studio user ann@here"] * 3
    because = "annotated in Label Studio; Nine of ten neighbours are good."
    assert rows["why"].tolist() == [because, "looked at: label kept", because]
    assert rows["when"].iloc[0] == "2026-12-01T10:00:00Z"


def test_a_round_trip_changes_nothing(exported: list[dict[str, Any]]) -> None:
    file = annotate(exported)
    label_studio.main(["import", str(file)])
    assert not CORRECTIONS.exists()
    rows = imported(annotate(exported, *(task["data"]["label"] for task in exported)))
    splits = pd.read_parquet("data/05_model_input/splits.parquet")
    done = apply_corrections(splits, splits.iloc[:0].assign(reason="", detail=""), rows)
    assert (len(rows), len(done.report), done.images["label"].tolist()) == (35, 0, splits["label"].tolist())
    before = CORRECTIONS.read_bytes()
    label_studio.main(["import", str(file)])
    assert CORRECTIONS.read_bytes() == before
    label_studio.main(["export"])
    assert json.loads(TASKS.read_text()) == []


def test_cancelled_and_contradicting_annotations_are_left_out(exported: list[dict[str, Any]], caplog) -> None:
    annotate(exported, "good", "good")
    annotate(exported, "bad", "good")
    file = annotate(exported, None, None, None, "good", was_cancelled=True)
    with caplog.at_level(logging.WARNING):
        rows = imported(file)
    assert rows["image_id"].tolist() == [exported[1]["data"]["image_id"]]
    assert "images/bad_0_0.png: left out, because its annotations disagree" in caplog.text


def test_tasks_of_one_image_that_disagree_are_left_out(exported: list[dict[str, Any]], caplog) -> None:
    twin = json.loads(json.dumps(exported[0]))
    with caplog.at_level(logging.WARNING):
        rows = imported(annotate([exported[0], twin, exported[1]], "good", "(excluded)", "good"))
    assert rows["image_id"].tolist() == [exported[1]["data"]["image_id"]]
    assert "left out, because its annotations disagree" in caplog.text


def test_a_decision_of_the_page_stays(exported: list[dict[str, Any]]) -> None:
    CORRECTIONS.write_text(f"image_id,exclude,why,who\n{exported[0]['data']['image_id']},true,blurred,Bob\n")
    assert imported(annotate(exported, "good", "good"))["who"].tolist() == ["Bob", "Label Studio user ann@here"]


def test_images_that_are_gone_are_left_out(exported: list[dict[str, Any]], caplog) -> None:
    exported[0]["data"]["image_id"] = "f" * 64
    with caplog.at_level(logging.WARNING):
        assert len(imported(annotate(exported, "good", "good"))) == 1
    assert "1 task left out, because the images are gone" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "annotations: must be a readable JSON file"),
        ('[{"image": "a", "class": "good"}]', "must be a file that Label Studio exported as JSON, not as JSON-MIN"),
        ('[{"data": {"image": "a"}, "annotations": null}]', "must be a file that Label Studio exported as JSON"),
        ('[{"data": {"image": "a"}, "annotations": []}]', "none of the 1 task names such an image"),
    ],
)
def test_a_file_of_another_project_is_one_line(exported, capsys, content: str, message: str) -> None:
    Path("other.json").write_text(content)
    assert message in failed(capsys, "import", "other.json")
    assert not CORRECTIONS.exists()


def test_a_class_that_does_not_exist_is_one_line_and_nothing_is_written(exported, capsys) -> None:
    file = annotate(exported, "good", "ugly")
    assert "a class must be one of bad, good, got 'ugly' in task 2" in failed(capsys, "import", str(file))
    assert not CORRECTIONS.exists()


def test_an_archive_needs_the_addresses_of_its_images(exported, monkeypatch) -> None:
    desk = label_studio.load_desk(label_studio.open_project(), None)
    object.__setattr__(desk, "root", "pets.zip")
    with pytest.raises(InputError, match=r"--images: must be given, because .* cannot read the archive 'pets\.zip'"):
        label_studio.export_tasks(desk, Path("out"), None)
    assert label_studio.export_tasks(desk, Path("out"), "https://host/") == 35
    assert '"image": "https://host/images/bad_0_0.png"' in Path("out/tasks.json").read_text()
