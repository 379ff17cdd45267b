from pathlib import Path

import pandas as pd
import pytest
from factories import catalog_config
from hypothesis import given
from hypothesis import strategies as st

from goodbad_pipeline.datasets import SafeCSVDataset, tables
from goodbad_pipeline.datasets.tables import escape_formulas, unescape_formulas

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.one_of(st.none(), TEXT, st.text("'=+-@\t", max_size=4)), min_size=1, max_size=5))
def test_no_cell_starts_like_a_formula_and_nothing_is_lost(cells: list) -> None:
    table = pd.DataFrame({"text": pd.Series(cells, dtype=object), "number": -1.5})
    safe = escape_formulas(table)
    assert not any(str(cell).startswith(tuple("=+-@\t\r")) for cell in safe["text"] if cell is not None)
    assert safe["number"].eq(-1.5).all()
    assert unescape_formulas(safe)["text"].tolist() == cells


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1"])
def test_a_formula_in_a_file_name_is_written_as_text(tmp_path: Path, text: str) -> None:
    dataset = SafeCSVDataset(filepath=str(tmp_path / "table.csv"), save_args={"index": False})
    dataset.save(pd.DataFrame({"=path": [text], "n": [3]}))
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "'=path,n"
    assert lines[1].lstrip('"').startswith("'")
    assert dataset.load()["=path"].tolist() == [text]


def test_every_table_with_names_of_files_or_classes_escapes_formulas() -> None:
    """Other tables contain only texts of this project."""
    ours = {"stage_costs", "paper_comparison", "phi_curve", "published_variants"}
    ours |= {"search_candidates", "search_ranking", "study_networks", "study_table", "{study}_trials"}
    ours |= {"rate_curve", "tuning_trials", "tuning_ranking", "finalist_trials"}
    kinds = {name: entry.get("dataset", entry)["type"] for name, entry in catalog_config().items()}
    assert {name for name, kind in kinds.items() if kind == "goodbad_pipeline.datasets.CSVDataset"} == ours
    assert kinds["corrections"] == kinds["quarantine_table"] == "goodbad_pipeline.datasets.SafeCSVDataset"


@pytest.mark.parametrize("last", ["text", 1.5])
def test_a_table_of_text_is_loaded_like_one_with_numbers(tmp_path: Path, last: str | float) -> None:
    odd = ["plain", "a,b", 'say "so"', "two\nlines", "", "Ünï", None, "=1+1", "007"]
    table = pd.DataFrame({"one": pd.Series(odd, dtype=object), "two": pd.Series(odd[::-1]), "last": [last] * len(odd)})
    dataset = SafeCSVDataset(filepath=str(tmp_path / "table.csv"), load_args={"dtype": {"one": str, "two": str}})
    dataset.save(table)
    loaded = dataset.load()
    expected = [value or None for value in odd]
    assert loaded["one"].where(loaded["one"].notna(), None).tolist() == expected
    assert loaded["two"].where(loaded["two"].notna(), None).tolist() == expected[::-1]
    assert loaded["last"].tolist() == table["last"].tolist()
    assert (tmp_path / "table.csv").read_text().startswith('"one"' if last == "text" else "one")


@pytest.mark.parametrize("late", ["text", 1.5])
def test_a_table_whose_later_part_has_numbers_is_written_by_pandas(tmp_path, monkeypatch, late) -> None:
    monkeypatch.setattr(tables, "PART", 3)
    values = pd.Series([*"abcdefg", late], dtype=object)
    dataset = SafeCSVDataset(filepath=str(tmp_path / "table.csv"), load_args={"dtype": str})
    dataset.save(pd.DataFrame({"one": values}))
    assert dataset.load()["one"].tolist() == [*"abcdefg", str(late)]
    assert (tmp_path / "table.csv").read_text().startswith('"one"' if late == "text" else "one")
