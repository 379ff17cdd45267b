import tempfile
from pathlib import Path

import pandas as pd
import pytest
from factories import catalog_config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goodbad_pipeline.datasets import SafeCSVDataset, TableStreamDataset, tables
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
    assert lines[0] == """"'=path",n"""
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
    assert (tmp_path / "table.csv").read_text().startswith('"one","two",' + ('"last"' if last == "text" else "last"))


@pytest.mark.parametrize("late", ["text", 1.5])
def test_a_table_whose_later_part_has_numbers_is_written_by_pandas(tmp_path, monkeypatch, late) -> None:
    monkeypatch.setattr(tables, "PART", 3)
    values = pd.Series([*"abcdefg", late], dtype=object)
    dataset = SafeCSVDataset(filepath=str(tmp_path / "table.csv"), load_args={"dtype": str})
    dataset.save(pd.DataFrame({"one": values}))
    assert dataset.load()["one"].tolist() == [*"abcdefg", str(late)]
    assert (tmp_path / "table.csv").read_text().startswith('"one"' if late == "text" else "one")


NAMES = st.text(st.sampled_from("07.e+-_,;'\"=@$ \t\r\nNaTÄ\U0010ffa3"), min_size=1, max_size=5).filter(str.strip)


@settings(max_examples=40)
@given(st.lists(st.one_of(NAMES, st.sampled_from(["NA", "None", "nan", "007", "1e5", "True", "", None]))))
@example(["007", "7"])
@example([None, "7"])
def test_text_comes_out_of_a_file_as_it_went_in(cells: list) -> None:
    for kind in ("str", object, "category"):
        text = pd.Series(cells, dtype=kind if cells != [None] * len(cells) else "str")
        table = pd.DataFrame({"text": text, "count": 7, "share, of 1": 0.5, "flag": True})
        with tempfile.TemporaryDirectory() as folder:
            whole, parts = SafeCSVDataset(filepath=f"{folder}/1.csv"), TableStreamDataset(filepath=f"{folder}/2.csv")
            whole.save(table)
            parts.save(iter([table[:1], table[1:]]))
            for loaded in (whole.load(), pd.concat(parts.load()) if cells and kind == "str" else whole.load()):
                assert loaded["text"].astype(object).where(loaded["text"].notna(), None).tolist() == [
                    cell or None for cell in cells
                ]
                if cells:
                    assert [str(kind) for kind in loaded.dtypes[1:]] == ["int64", "float64", "bool"]


def test_a_preview_and_a_file_of_an_earlier_version(tmp_path: Path) -> None:
    dataset = SafeCSVDataset(filepath=str(tmp_path / "table.csv"))
    dataset.save(pd.DataFrame({"class": ["007", "7"], "support": [1, 2]}))
    assert dataset.preview(1)["data"] == [["007", 1]]
    (tmp_path / "table.csv").write_text("class,support\nNA,1\n7,\n")
    assert dataset.load()["support"].tolist()[0] == 1
