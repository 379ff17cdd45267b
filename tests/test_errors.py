import tomllib

import pytest
from factories import PROJECT

from goodbad_pipeline.errors import counted, install_command
from goodbad_pipeline.images import stores


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2.0, "2 files"), (1200, "1200 files")])
def test_a_noun_has_the_number_of_its_count(number: float, text: str) -> None:
    assert counted(number, "file") == text


def test_the_extras_that_errors_name_exist() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*stores._EXTRAS.values(), "cluster", "export", "gpu", "jax", "jupyter"} <= set(extras)
    assert install_command("s3") == "pip install 'goodbad_pipeline[s3]'"
