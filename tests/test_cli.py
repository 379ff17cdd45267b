from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from kedro.io import DatasetError
from making import PROJECT

from goodbad_pipeline import cli
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.stopping import Stopped


def ending_in(error: Exception) -> click.Command:
    def callback() -> None:
        raise error

    return cli.OneLineErrors("run", callback=callback)


def wrapped() -> DatasetError:
    try:
        raise DatasetError("Failed while saving") from InputError("x.png: changed\nsince ingestion")
    except DatasetError as error:
        return error


@pytest.mark.parametrize("error", [InputError("x.png: changed\nsince ingestion"), wrapped()])
def test_what_a_user_can_put_right_is_one_line(error: Exception) -> None:
    result = CliRunner().invoke(ending_in(error))
    assert result.exit_code == 1
    assert result.output == "Error: x.png: changed since ingestion\n"


def test_a_run_that_was_stopped_says_how_to_go_on_and_has_the_signals_status() -> None:
    result = CliRunner().invoke(ending_in(Stopped("SIGTERM", "after step 3 of head epoch 1/2")))
    assert result.exit_code == 143
    assert "stopped by SIGTERM after step 3 of head epoch 1/2; kedro run --pipeline=train goes on" in result.output


def test_what_is_the_codes_fault_keeps_its_traceback() -> None:
    result = CliRunner().invoke(ending_in(ZeroDivisionError("no")))
    assert isinstance(result.exception, ZeroDivisionError)


def test_run_takes_what_kedros_own_takes() -> None:
    result = CliRunner().invoke(cli.cli, ["run", "--help"])
    assert result.exit_code == 0
    for option in ("--pipeline", "--params", "--env", "--nodes"):
        assert option in result.output


def test_the_readme_and_the_makefile_say_the_same_commands() -> None:
    readme, makefile = ((PROJECT / name).read_text() for name in ("README.md", "Makefile"))
    tests = "pytest --numprocesses 2 --dist loadfile --cov"
    for line in ("--constraint constraints.txt --editable .", "kedro run", tests):
        assert line in readme
        assert line in makefile
    assert Path(PROJECT / ".ci" / "run").stat().st_mode & 0o100
