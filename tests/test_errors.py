import tomllib
from pathlib import Path

import pytest
from factories import PROJECT

from goodbad_pipeline import errors
from goodbad_pipeline.errors import counted, install_command, two_digits
from goodbad_pipeline.images import stores


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2.0, "2 files"), (1200, "1200 files")])
def test_a_noun_has_the_number_of_its_count(number: float, text: str) -> None:
    assert counted(number, "file") == text


def test_the_extras_that_errors_name_exist() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*stores._EXTRAS.values(), "cluster", "export", "gpu", "jax", "jupyter"} <= set(extras)


def test_an_extra_is_installed_in_a_clone_as_in_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_command("gpu") in (PROJECT / "README.md").read_text()
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site-packages" / "goodbad_pipeline" / "errors.py"))
    assert install_command("s3") == "pip install --constraint constraints.txt 'goodbad_pipeline[s3]'"


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, "0"), (0.314, "0.31"), (3.14, "3.1"), (9.99, "10"), (31.4, "31"), (1234.5, "1234")]
)
def test_a_rate_below_ten_has_two_digits(rate: float, text: str) -> None:
    assert two_digits(rate) == text
