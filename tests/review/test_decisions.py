import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import read_corrections
from goodbad_pipeline.review.decisions import Action, CorrectionsFile, Decision, find_decided

IMAGES = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "image_id": ["a" * 64, "b" * 64, "c" * 64]})
IMAGES["label"] = ["good", "bad", "good"]
FROM_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import pandas as pd
from goodbad_pipeline.review.decisions import CorrectionsFile, Decision
file, who = CorrectionsFile(Path(sys.argv[1])), sys.argv[2]
for number in range(25):
    image = f"{number:032x}{who:0>32}"
    images = pd.DataFrame({"path": [image], "image_id": [image], "label": ["good"]})
    file.add([Decision.of("relabel", image, "bad", "dark", who, "today", "")], images)
"""


def decision(image: str, action: Action = "relabel", label: str = "bad", who: str = "Ann") -> Decision:
    return Decision.of(action, image * 64, label, "looks  \n grim", who, "2026-12-01T10:00:00+00:00", "goodbad 3")


def test_each_decision_is_a_row_that_the_next_run_can_read(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "new" / "corrections.csv")
    file.add([decision("a")], IMAGES)
    file.add([decision("b", "keep"), decision("c", "exclude", "")], IMAGES)
    rows = read_corrections(file.path)
    assert rows[["image_id", "label", "exclude", "keep", "why"]].values.tolist() == [
        ["a" * 64, "bad", "", "", "looks grim"],
        ["b" * 64, "bad", "", "true", "looked at: label kept"],
        ["c" * 64, "", "true", "", "looks grim"],
    ]
    assert set(rows["who"] + rows["when"] + rows["model_version"]) == {"Ann2026-12-01T10:00:00+00:00goodbad 3"}


def test_rows_that_people_wrote_stay(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("path;label;why;who\n c.png ;Käfer;legs;Ann\n", encoding="cp1252")
    before = read_corrections(path)
    file = CorrectionsFile(path)
    file.add([decision("a")], IMAGES)
    assert file.read().iloc[:1].equals(before)
    file.remove([decision("a")])
    assert file.read().equals(before)


def test_an_image_that_is_decided_gets_no_second_row(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "corrections.csv")
    file.add([decision("a")], IMAGES)
    assert file.add([decision("a", "keep", "good", who="Bob"), decision("b", "keep")], IMAGES) == [
        decision("b", "keep")
    ]
    assert file.read()["who"].tolist() == ["Ann", "Ann"]


def test_undo_removes_its_own_row_alone(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "corrections.csv")
    written = file.add([decision("a"), decision("b")], IMAGES)
    assert file.remove([replace(written[0], who="Bob")]) == 0
    assert file.remove(written[:1]) == 1
    assert file.read()["image_id"].tolist() == ["b" * 64]
    assert file.remove(written[1:]) == 1
    assert read_corrections(file.path).empty
    assert file.add([decision("a")], IMAGES)


def test_paths_and_ids_decide_and_a_kept_label_only_while_it_is_the_label(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "corrections.csv")
    file.path.write_text("path,label,keep,why,who\na.png,good,,x,Ann\nb.png,bad,true,x,Ann\n")
    file.add([decision("c", "keep", "good")], IMAGES)
    assert find_decided(file.read(), IMAGES).tolist() == [True, True, True]
    assert find_decided(file.read(), IMAGES.assign(label=["bad", "good", "bad"])).tolist() == [True, False, False]


def test_two_people_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    command = [sys.executable, "-c", FROM_ANOTHER_PROCESS, str(path)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda who: subprocess.run([*command, who], check=True, timeout=120), ("1", "2")))
    rows = read_corrections(path)
    assert rows["who"].value_counts().to_dict() == {"1": 25, "2": 25}
    assert rows["image_id"].is_unique


def test_threads_of_one_process_lose_nothing(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "corrections.csv")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda who: file.add([decision("a", who=str(who))], IMAGES), range(8)))
    assert len(file.read()) == 1


def test_an_invalid_file_is_refused_before_the_first_decision(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("path,label,why,who\na.png,good,,Ann\n")
    with pytest.raises(InputError, match=r"row 1 of 'corrections\.csv': why must not be empty"):
        CorrectionsFile(path)


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        CorrectionsFile(tmp_path / "folder" / "corrections.csv").add([decision("a")], IMAGES)
