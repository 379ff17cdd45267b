import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.validation.exceptions import DataValidationError

from goodbad_pipeline.datasets import TableSchema
from goodbad_pipeline.errors import InputError, find_cause

SCHEMA = {
    "name": "splits",
    "key": "path",
    "columns": {
        "text": ["path"],
        "sha256": ["image_id"],
        "count": ["width"],
        "split": ["split"],
        "split or none": ["given"],
    },
    "together": {"group": "split"},
}


def table(**changes: object) -> pd.DataFrame:
    columns = {
        "path": ["a.png", "b.png"],
        "image_id": ["0" * 64, "f" * 64],
        "width": [1, 2],
        "split": ["train", "test"],
        "given": [None, "train"],
        "group": ["x", "y"],
        "other": [None, None],
    }
    return pd.DataFrame(columns | changes)


def test_a_valid_table_is_returned_unchanged() -> None:
    assert TableSchema(**SCHEMA).validate(frame := table()) is frame


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ["a.png", None]}, "column 'path' must hold non-empty text; row 1 has"),
        ({"path": ["a.png", " "]}, "row 1 has ' '"),
        ({"path": ["a.png", "a.png"]}, r"column 'path' must have unique values; 'a\.png' is repeated"),
        ({"image_id": ["0" * 64, "F" * 64]}, "column 'image_id' must hold 64 hexadecimal digits; row 1 has 'FFF"),
        ({"width": [0, 2]}, "column 'width' must hold an integer >= 1; row 0 has"),
        ({"width": [1.5, 2]}, "row 0 has"),
        ({"split": ["train", "exam"]}, "column 'split' must hold one of train, validation, test; row 1 has 'exam'"),
        ({"given": ["exam", None]}, "column 'given' must hold one of train, validation, test, or nothing; row 0"),
        ({"group": ["x", "x"]}, "group 'x' must have one split; it has 2"),
    ],
)
def test_the_error_names_what_breaks_a_rule(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TableSchema(**SCHEMA).validate(table(**changes))


def test_the_error_names_a_missing_column() -> None:
    with pytest.raises(InputError, match="splits: has no column 'width'; it has: path, image_id"):
        TableSchema(**SCHEMA).validate(table().drop(columns="width"))


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(ValueError, match="a rule must be one of text, text or empty, sha256"):
        TableSchema("t", {"txet": ["path"]})


def test_kedro_validates_on_save_and_the_command_line_finds_the_input_error() -> None:
    validator = {"class": "goodbad_pipeline.datasets.TableSchema", "options": SCHEMA}
    catalog = DataCatalog.from_config({"splits": {"type": "MemoryDataset", "validator": validator}})
    catalog.save("splits", table())
    with pytest.raises(DataValidationError) as caught:
        catalog.save("splits", table(width=[0, 0]))
    assert str(find_cause(caught.value, (InputError,))).startswith("splits: column 'width' must hold an integer >= 1")
