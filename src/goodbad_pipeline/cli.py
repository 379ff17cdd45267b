"""The project's ``kedro`` commands, among them a ``kedro run`` that prints errors in one line."""

import gc
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.jupyter import jupyter
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, KedroCliError
from kedro.framework.project import LOGGING, pipelines, settings
from kedro.pipeline import Pipeline
from kedro.utils import find_config_file, find_kedro_project

from goodbad_pipeline import tracking
from goodbad_pipeline.context import ConfigLoader
from goodbad_pipeline.errors import InputError, find_cause, install_command
from goodbad_pipeline.hooks.signals import exit_status
from goodbad_pipeline.training.stopping import Stopped

RUNNERS = ("SequentialRunner", "ThreadRunner")  # nodes share a stop request, which other processes would not see
SELECTORS = {  # options of `kedro run` that select nodes, by the name of the parameter
    "tags": "--tags",
    "node_names": "--nodes",
    "from_nodes": "--from-nodes",
    "to_nodes": "--to-nodes",
    "from_inputs": "--from-inputs",
    "to_outputs": "--to-outputs",
    "namespaces": "--namespaces",
}
MOST_NAMES = 30  # maximum number of names that an error lists

# Commands such as `kedro ipython` start programs by name. They are found although the environment is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class OneLineErrors(click.Command):
    """A command that exits with status 1 after an InputError and prints its message in one line, without traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            _configure_logging(ctx.params.get("conf_source"))
            _check_options(ctx.params)
            return super().invoke(ctx)
        except Stopped as stop:
            click.echo(f"Run {stop}; run the same command again to resume", err=True)
            ctx.exit(exit_status(stop.reason))
        except Exception as error:
            cause = find_cause(error, (InputError,))
            if cause is None:
                raise
            raise click.ClickException(" ".join(str(cause).split())) from error
        finally:
            gc.freeze()  # the process ends, so its memory need not be freed object by object


def _configure_logging(conf_source: str | None) -> None:
    """Apply logging.yml of the configuration if Kedro did not find it, because it looks in the working directory."""
    if "KEDRO_LOGGING_CONFIG" in os.environ or find_config_file("conf/logging"):
        return
    source = conf_source or (find_kedro_project(Path.cwd()) or Path.cwd()) / settings.CONF_SOURCE
    with suppress(MissingConfigException):
        LOGGING.configure(ConfigLoader(str(source), config_patterns={"logging": ["logging*"]})["logging"])


def _check_options(params: dict[str, Any]) -> None:
    """Reject options that name an unknown pipeline, runner, node, dataset, tag or namespace, or that select no node."""
    names = params.get("pipelines") or [name for name in [params.get("pipeline")] if name]
    for name in names:
        _require_known("--pipeline", name, pipelines)
    runner = params.get("runner") or RUNNERS[0]
    if "." not in runner or runner.endswith("ParallelRunner"):  # a user's own class is named with its module
        _require_known("--runner", runner, RUNNERS)
    if not any(params.get(option) for option in SELECTORS):
        return
    chosen = sum((pipelines[name] for name in names or ["__default__"]), Pipeline([]))
    nodes, datasets = [node.name for node in chosen.nodes], chosen.datasets()
    known: dict[str, Iterable[str]] = dict.fromkeys(SELECTORS, nodes)
    known |= {"from_inputs": datasets, "to_outputs": datasets}
    known["tags"] = {tag for node in chosen.nodes for tag in node.tags}
    known["namespaces"] = {prefix for node in chosen.nodes for prefix in node.namespace_prefixes}
    for option, flag in SELECTORS.items():
        for value in params.get(option) or ():
            _require_known(flag, value, known[option])
    selection = {option: params.get(option) for option in SELECTORS}
    try:
        chosen.filter(node_namespaces=selection.pop("namespaces"), **selection)
    except ValueError as error:
        flags = ", ".join(flag for option, flag in SELECTORS.items() if params.get(option))
        raise click.ClickException(f"{flags}: must leave a node to run ({error})") from error


def _require_known(option: str, value: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if value in names:
        return
    similar = [name for name in names if name.endswith(f".{value}")] or get_close_matches(value, names)
    rule = f"must be one of {', '.join(names)}" if len(names) <= MOST_NAMES else "must exist in the pipeline"
    advice = f"; did you mean {' or '.join(similar)}?" if similar and len(names) > MOST_NAMES else ""
    raise click.ClickException(f"{option}: {rule}, got {value!r}{advice}")


class JupyterGroup(click.Group):
    """Kedro's group ``kedro jupyter``, with an error that names the extra which installs Jupyter."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KedroCliError as error:
            if not isinstance(error.__cause__, ImportError):
                raise
            raise click.ClickException(f"{error.__cause__}; {install_command('jupyter')}") from error


@click.group(context_settings=CONTEXT_SETTINGS, name="goodbad_pipeline")
def cli() -> None:
    """Command line tools of goodbad_pipeline."""


@cli.command("send-outbox")
def send_outbox() -> None:
    """Send to MLflow the entries that runs stored in the outbox while MLflow was unavailable."""
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    sent, waiting = tracking.send_outbox(project / tracking.OUTBOX_FOLDER)
    click.echo(f"Outbox entries: {sent} sent to MLflow, {waiting} waiting")


run = OneLineErrors(  # the name by which `__main__` of the installed package finds the command
    "run",
    context_settings=CONTEXT_SETTINGS,
    callback=kedro_run.callback,
    params=kedro_run.params,
    help=kedro_run.help,
)
cli.add_command(run)
cli.add_command(JupyterGroup("jupyter", commands=jupyter.commands, help=jupyter.help))
cli.add_command(
    click.Command("send-spool", callback=send_outbox.callback, help=send_outbox.help, deprecated="Use send-outbox.")
)
