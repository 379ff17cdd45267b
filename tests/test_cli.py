import gc
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from factories import PROJECT
from kedro.framework.project import configure_project
from kedro.io import DatasetError

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
def test_an_input_error_is_printed_on_one_line(error: Exception) -> None:
    result = CliRunner().invoke(ending_in(error))
    assert result.exit_code == 1
    assert result.output == "Error: x.png: changed since ingestion\n"


def test_a_stopped_run_prints_how_to_resume_and_has_the_exit_status_of_the_signal() -> None:
    result = CliRunner().invoke(ending_in(Stopped("SIGTERM", "after step 3 of head epoch 1/2")))
    assert result.exit_code == 143
    assert "stopped by SIGTERM after step 3 of head epoch 1/2; run the same command again to resume" in result.output


def test_other_errors_keep_their_traceback() -> None:
    result = CliRunner().invoke(ending_in(ZeroDivisionError("no")))
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("error", "ending"),
    [("InputError('a\\nb')", "Error: a b\n"), ("OSError('a')", "line 1, in <module>\nOSError: a\n")],
)
def test_an_input_error_that_a_plugin_does_not_catch_is_one_line(error: str, ending: str) -> None:
    start = f"from goodbad_pipeline.cli import InputError; raise {error}"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(ending)
    assert ("Traceback" in done.stderr) == ("OSError" in error)


def test_garbage_is_not_searched_among_imported_modules_nor_at_the_end_of_a_command() -> None:
    start = "import gc, goodbad_pipeline.settings; assert gc.isenabled(); print(gc.get_freeze_count())"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) > 100_000
    gc.unfreeze()
    CliRunner().invoke(cli.OneLineErrors("run", callback=lambda: None))
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert frozen > 100_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--pipelines=data,trian", "--pipeline: must be one of __default__, data, .*, got 'trian'"),
        ("--env=prod", "--env: must be one of base, gpu, .*, got 'prod'"),
        ("--runner=ParallelRunner", "--runner: must be one of SequentialRunner, ThreadRunner, got 'ParallelRunner'"),
        ("--runner=kedro.runner.ParallelRunner", "--runner: must be one of SequentialRunner"),
        ("--tags=slow", "--tags: must be one of data, evaluation, heavy, ingestion, light, .*, got 'slow'"),
        ("--namespaces=model", "--namespaces: must be one of data, data.ingestion, .*, got 'model'"),
        ("--from-nodes=scan_images", "--from-nodes: .*'scan_images'; did you mean data.ingestion.scan_images"),
        ("--from-nodes=scan", "--from-nodes: .*'scan'; did you mean data.ingestion.scan_images"),
        ("--to-nodes=split_sheets", "--to-nodes: .* did you mean .*data.splitting.draw_split_sheets"),
        (
            "--nodes=x",
            "--nodes: must exist in the pipeline, got 'x'; `kedro registry describe __default__` lists all names$",
        ),
        ("--from-inputs=split", "--from-inputs: must exist in the pipeline, got 'split'; did you mean splits"),
        ("--to-outputs=splitz", "--to-outputs: must exist in the pipeline, got 'splitz'; did you mean splits"),
        (
            "--pipelines=train --to-outputs=foo",
            "--to-outputs: .*'foo'; `kedro catalog describe-datasets --pipeline=train` lists all names$",
        ),
        ("--pipelines=predict --to-outputs=foo", "--to-outputs: must be one of .*prediction_sheet, .*, got 'foo'$"),
        ("--load-versions=splitz:2026-01-01", "--load-versions: .*'splitz'; did you mean splits"),
        ("--load-versions=splits", "Expected the form of 'load_versions' to be 'dataset_name:"),
        ("--params=photos", "--params: must be name=value, as in training.epochs=5, got 'photos'$"),
        (
            "--params=images.root=a,2023=b",
            "--params: .* '2023' is no parameter; if the comma .*/parameters.yml or, if .* rename",
        ),
        ("--params==1", "--params: must be name=value, .*, got '=1'$"),
        ("--tags=data --from-nodes=training.train_model", "--tags, --from-nodes: must leave a node to run"),
    ],
)
def test_a_wrong_option_is_one_line_before_the_run_starts(options: str, message: str) -> None:
    configure_project("goodbad_pipeline")
    result = CliRunner().invoke(cli.cli, ["run", *options.split()])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert re.match(f"Error: {message}", line), line


def test_a_run_in_a_subfolder_logs_as_the_project_configures(project: Path, monkeypatch) -> None:
    """Kedro finds conf/logging.yml in the working directory only."""
    configured: list[dict] = []
    monkeypatch.setattr(cli.LOGGING, "configure", configured.append)
    for folder, times in ((project, 0), (project / "data", 1)):
        monkeypatch.chdir(folder)
        cli._configure_logging(None)
        assert configured == [yaml.safe_load((project / "conf/logging.yml").read_text())] * times


@pytest.mark.parametrize(
    "command",
    ["registry describe trian", "catalog describe-datasets --pipeline=trian", "catalog resolve-patterns -p trian"],
)
def test_a_wrong_name_in_a_command_of_kedro_is_one_line(command: str) -> None:
    configure_project("goodbad_pipeline")
    result = CliRunner().invoke(cli.cli, command.split())
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: (NAME|--pipeline): must be one of __default__, .*, got 'trian'\n", result.output)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        ("model.b=1, model.c=x:y,", {"model": {"b": 1, "c": "x:y"}}),
        ("predict.source=a.jpg,b c.jpg,predict.seed=1", {"predict": {"source": "a.jpg,b c.jpg", "seed": 1}}),
        ("images.columns.label=[cat, dog]", {"images": {"columns": {"label": ["cat", "dog"]}}}),
        ("images.root=/data/a, b", {"images": {"root": "/data/a, b"}}),
        ("model.phi = -1, model.b = x", {"model": {"phi": -1, "b": "x"}}),
        ("", {}),
        (("images.a=1,model.phi=0", "model.phi=1", "images.b=2"), {"images": {"a": 1, "b": 2}, "model": {"phi": 1}}),
    ],
)
def test_parameters_are_merged_and_their_values_may_contain_commas(texts: str | tuple[str, ...], values: dict) -> None:
    options = [f"--params={text}" for text in ([texts] if isinstance(texts, str) else texts)]
    assert cli.run.make_context("run", options).params["params"] == values


def test_parameters_may_be_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("run: {params: {model: {phi: 1}}}")
    context = cli.run.make_context("run", [f"--config={tmp_path / 'config.yml'}"])
    assert context.params["params"] == {"model": {"phi": 1}}


def test_run_has_the_options_of_kedros_run() -> None:
    result = CliRunner().invoke(cli.cli, ["run", "--help"])
    assert result.exit_code == 0
    for option in ("--pipeline", "--params", "--env", "--nodes"):
        assert option in result.output


def test_jupyter_that_is_not_installed_names_the_extra(project: Path) -> None:
    """In a process of its own, because a command that is not found imports nothing."""
    hidden = "import sys; sys.modules['notebook'] = None; from kedro.framework.cli import main; main()"
    command = [sys.executable, "-c", hidden, "jupyter", "notebook"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        '; pip install --constraint constraints.txt --editable ".[jupyter]"'
    ), done.stderr


def test_programs_that_kedro_starts_are_those_of_this_environment() -> None:
    assert os.environ["PATH"].partition(os.pathsep)[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize(("command", "deprecated"), [("send-outbox", False), ("send-spool", True)])
def test_the_outbox_is_sent_and_the_old_command_warns(command: str, deprecated: bool, monkeypatch) -> None:
    monkeypatch.setattr(cli.tracking, "send_outbox", lambda folder: (5, 2))
    result = CliRunner().invoke(cli.cli, [command])
    assert "Outbox entries: 5 sent to MLflow, 2 waiting\n" in result.output
    assert ("DeprecationWarning" in result.output) == deprecated


def test_ctrl_c_ends_a_command_and_its_server_without_a_traceback() -> None:
    """`kedro viz run` starts its server as a child process and ends; Python then waits for the child."""
    code = """
import multiprocessing, os, goodbad_pipeline.cli
shell = ("sh", "sh", "-c", "echo started; exec sleep 60")
multiprocessing.get_context("spawn").Process(target=os.execlp, args=shell).start()
"""
    command = [sys.executable, "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout.readline() == "started\n"
            os.killpg(process.pid, signal.SIGINT)
            assert process.communicate(timeout=100) == ("", "")
        finally:
            process.kill()


STUBS = {
    "bin/kedro": '#!/bin/sh\npython -m http.server "$4" &\nuntil [ -e opened ]; do sleep 0.1; done; kill $!\n',
    "bin/browser": '#!/bin/sh\necho "$1" > opened\n',
}
"""A server instead of MLflow's, which ends when the browser has been opened; the browser writes down the address.

Make has no stamp of an installation here, as after an installation by hand.
"""


def make_ui(tmp_path: Path, port: int) -> subprocess.CompletedProcess:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    for name, text in STUBS.items():
        (tmp_path / ".venv" / name).write_text(text)
        (tmp_path / ".venv" / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    environment["BROWSER"] = str(tmp_path / ".venv/bin/browser")
    command = ["make", "ui", f"port={port}"]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def test_make_ui_prints_the_address_and_opens_the_view(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = make_ui(tmp_path, port)
    address = f"http://127.0.0.1:{port}/#/experiments/1/runs?viewStateShareKey=results"
    assert f"MLflow is starting at http://127.0.0.1:{port}" in done.stdout
    assert f"Open {address}" in done.stdout
    assert (tmp_path / "opened").read_text() == f"{address}\n"


def test_make_ui_ends_with_an_error_if_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = make_ui(tmp_path, port)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith(f"port {port} is taken; make ui port={port + 1}\n")
    assert not (tmp_path / "opened").exists()


def test_the_readme_and_the_makefile_have_the_same_commands(tmp_path: Path) -> None:
    """``make --dry-run`` prints the commands; variables of the make that runs this test are removed."""
    by_hand = (PROJECT / "README.md").read_text().partition("By hand they are\n\n```sh\n")[2].partition("```")[0]
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, tmp_path)

    clean = {name: value for name, value in os.environ.items() if not name.startswith("M") and name != "PYTHON"}

    def commands_of(target: str) -> str:
        command = ["make", "--dry-run", target]
        output = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True).stdout
        return "".join(line for line in output.splitlines(keepends=True) if not line.startswith(("touch", "echo")))

    run, test = by_hand.split("\n\n")
    environment = run.splitlines()[0]
    assert commands_of("run").replace(" --quiet", "") == run + "\n"
    assert commands_of("test").replace(" --quiet", "") == f"{environment}\n{test}"
    assert Path(PROJECT / ".ci" / "run").stat().st_mode & 0o100
