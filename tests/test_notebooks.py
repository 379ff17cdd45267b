"""The notebooks run on a project after a whole run, and are stored without outputs."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from cli_runner import kedro_run
from factories import PROJECT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


CURVES = """import json
axes = curves.axes[0]
print(json.dumps({"phases": [text.get_text() for text in axes.texts], "epochs": axes.get_xticks().tolist()}))"""


def test_there_are_two() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["explore_labels", "look_into_a_run"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_are_stripped_and_nothing_is_defined(file: Path) -> None:
    cells = json.loads(file.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert not any(line.startswith(("def ", "class ")) for line in cell["source"])


@pytest.mark.long
@pytest.mark.no_cover
def test_they_run_after_a_run_on_the_archive_of_another_root(tiny_project: Path, monkeypatch) -> None:
    archive = shutil.make_archive(
        str(tiny_project.parent / "more images"), "zip", tiny_project / "data/01_raw/characters"
    )
    shutil.rmtree(tiny_project / "data/01_raw/characters")
    for pipeline in ("data", "train"):
        kedro_run(tiny_project, pipeline, images__root=archive, registry__name="pets")
    monkeypatch.setenv("KEDRO_ENV", "test")
    for file in NOTEBOOKS:  # nbmake passes notebooks that raise errors
        notebook = execute(file, tiny_project, CURVES if file.stem == "look_into_a_run" else "")
        if file.stem == "look_into_a_run":
            drawn = json.loads(notebook.cells.pop().outputs[-1].text)
            assert drawn["phases"]
            assert all(epoch == round(epoch) for epoch in drawn["epochs"])
        assert {"image/png", "text/html"} & set(notebook.cells[-1].outputs[-1].data)
        figures = [data for cell in notebook.cells for data in results_of(cell) if "<Figure" in data["text/plain"]]
        assert figures
        assert [data["text/plain"] for data in figures if "image/png" not in data] == []


@pytest.mark.long
@pytest.mark.no_cover
def test_without_results_they_say_which_command_comes_first(tiny_project: Path, monkeypatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "test")
    explore, look = NOTEBOOKS
    untested = "No run with test results yet: run `kedro run` first"
    assert exit_message(look, tiny_project) == untested  # only the data pipeline ran
    shutil.rmtree(tiny_project / "data")
    (tiny_project / "mlflow.db").unlink()
    assert exit_message(look, tiny_project) == untested
    assert exit_message(explore, tiny_project) == "No labelled images yet: run `kedro run --pipeline=data` first"


def results_of(cell: NotebookNode) -> list[dict[str, str]]:
    return [output.data for output in cell.get("outputs", []) if "data" in output]


def exit_message(file: Path, project: Path) -> str:
    with pytest.raises(CellExecutionError) as caught:
        execute(file, project)
    assert caught.value.ename == "SystemExit"
    return caught.value.evalue


def execute(file: Path, project: Path, more: str = "") -> NotebookNode:
    notebook = nbformat.read(file, as_version=4)
    if more:
        notebook.cells.append(nbformat.v4.new_code_cell(more))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": project}}).execute()
    return notebook
