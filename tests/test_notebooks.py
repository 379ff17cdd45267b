"""The notebooks run on a project after a whole run, and are stored without outputs."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from cli_runner import kedro_run
from factories import PROJECT
from nbclient import NotebookClient

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


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
        notebook = nbformat.read(file, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tiny_project}}).execute()
        assert {"image/png", "text/html"} & set(notebook.cells[-1].outputs[-1].data)
