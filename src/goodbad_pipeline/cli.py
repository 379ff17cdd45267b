"""The project's ``kedro`` commands; ``kedro run``, ``catalog`` and ``registry`` print errors in one line."""

import atexit
import gc
import multiprocessing.util  # registers its own function to call at the exit, which must run after the one below
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import SequenceMatcher, get_close_matches
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.catalog import catalog
from kedro.framework.cli.jupyter import jupyter
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.registry import registry
from kedro.framework.cli.utils import CONTEXT_SETTINGS, KedroCliError
from kedro.framework.project import LOGGING, pipelines, settings
from kedro.pipeline import Pipeline
from kedro.utils import find_config_file, find_kedro_project
from omegaconf import OmegaConf

from goodbad_pipeline import tracking
from goodbad_pipeline.context import ConfigLoader
from goodbad_pipeline.errors import InputError, find_cause, install_command
from goodbad_pipeline.hooks.signals import exit_status
from goodbad_pipeline.params.validation import GROUPS
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
MOST_SIMILAR = 3  # maximum number of names that an error suggests
PARAMS_HELP = "Parameters of this run, such as training.epochs=5,model.phi=-1. May be given several times."
NEXT_PARAMETER = re.compile(r",(?=\s*[\w.-]+\s*=)")

# Commands such as `kedro ipython` start programs by name. They are found although the environment is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

os.environ.setdefault("PYTHONWARNINGS", "ignore:ORJSONResponse is deprecated")  # the server of Kedro-Viz would warn


@atexit.register
def _wait_for_servers() -> None:
    """Wait for child processes, such as the server of Kedro-Viz; Ctrl-C ends all processes without a traceback."""
    for child in multiprocessing.active_children():
        ended = child.daemon
        while not ended:
            with suppress(KeyboardInterrupt):
                # Ctrl-C during `child.join` may lose the child's exit status, and `is_alive` is then always true.
                ended = bool(connection.wait([child.sentinel]))


class OneLineErrors(click.Command):
    """A command that prints an error of the user in one line and exits with status 1.

    Errors of the user are InputErrors and errors of Kedro's command line, such as an unknown pipeline.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Convert the arguments to parameters."""
        with _one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _one_line():
                _configure_logging(ctx.params.get("conf_source"))
                _check_options(ctx.params)
                return super().invoke(ctx)
        except Stopped as stop:
            click.echo(f"Run {stop}; run the same command again to resume", err=True)
            ctx.exit(exit_status(stop.reason))
        finally:
            gc.freeze()  # the process ends, so its memory need not be freed object by object


def _configure_logging(conf_source: str | None) -> None:
    """Apply the logging.yml of ``conf_source`` or the project, unless the working directory has a logging.yml."""
    if "KEDRO_LOGGING_CONFIG" in os.environ or find_config_file("conf/logging"):
        return
    source = str(_find_conf(conf_source))
    with suppress(MissingConfigException):
        LOGGING.configure(ConfigLoader(source, config_patterns={"logging": ["logging*"]})["logging"])


def _find_conf(conf_source: str | None) -> Path:
    return Path(conf_source or (find_kedro_project(Path.cwd()) or Path.cwd()) / settings.CONF_SOURCE)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = find_cause(error, (InputError, KedroCliError))
        if cause is None:
            raise
        raise click.ClickException(" ".join(str(cause).split())) from error


def _print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error that no command caught: an InputError in one line, any other error with its traceback."""
    try:
        with _one_line():
            raise error
    except click.ClickException as shown:
        shown.show()
    except BaseException:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _print_error


def _check_options(params: dict[str, Any]) -> None:
    """Reject options that name an unknown environment, pipeline, runner or part of a pipeline, or select no node."""
    conf, environment = _find_conf(params.get("conf_source")), params.get("env")
    if environment and conf.is_dir() and not (conf / environment).is_dir():
        _require_known("--env", environment, [folder.name for folder in conf.iterdir() if folder.is_dir()])
    if "name" in params:  # of `kedro registry describe`
        _require_known("NAME", params["name"], pipelines)
    named = params.get("pipelines") or params.get("pipeline") or []
    names = [named] if isinstance(named, str) else named
    for name in names:
        _require_known("--pipeline", name, pipelines)
    runner = params.get("runner") or RUNNERS[0]
    if "." not in runner or runner.endswith("ParallelRunner"):  # a user's own class is named with its module
        _require_known("--runner", runner, RUNNERS)
    if not any(params.get(option) for option in (*SELECTORS, "load_versions")):
        return
    names = names or ["__default__"]
    chosen = sum((pipelines[name] for name in names), Pipeline([]))
    nodes, datasets = [node.name for node in chosen.nodes], chosen.datasets()
    known: dict[str, Iterable[str]] = dict.fromkeys(SELECTORS, nodes)
    known |= {"from_inputs": datasets, "to_outputs": chosen.all_outputs(), "load_versions": datasets}
    known["tags"] = {tag for node in chosen.nodes for tag in node.tags}
    known["namespaces"] = {prefix for node in chosen.nodes for prefix in node.namespace_prefixes}
    for option, flag in {**SELECTORS, "load_versions": "--load-versions"}.items():
        listing = f"catalog describe-datasets --pipeline={names[0]}"
        if known[option] is nodes:
            listing = f"registry describe {names[0]}"
        for value in params.get(option) or ():
            _require_known(flag, value, known[option], f"kedro {listing}")
    selection = {option: params.get(option) for option in SELECTORS}
    try:
        chosen.filter(node_namespaces=selection.pop("namespaces"), **selection)
    except ValueError as error:
        flags = ", ".join(flag for option, flag in SELECTORS.items() if params.get(option))
        raise click.ClickException(f"{flags}: must leave a node to run ({error})") from error


def _require_known(option: str, value: str, known: Iterable[str], listing: str = "") -> None:
    """Raise an error if ``known`` lacks the value; the command ``listing`` prints all names in ``known``."""
    names = sorted(known)
    if value in names:
        return
    if len(names) <= MOST_NAMES:
        raise click.ClickException(f"{option}: must be one of {', '.join(names)}, got {value!r}")
    similar = _similar_names(value, names)
    question = f"; did you mean {' or '.join(similar)}?" if similar else ";"
    raise click.ClickException(
        f"{option}: must exist in the pipeline, got {value!r}{question} `{listing}` lists all names"
    )


def _similar_names(value: str, names: Iterable[str]) -> list[str]:
    """Return at most `MOST_SIMILAR` names that resemble or contain the value, most similar first."""
    last = {name: name.rpartition(".")[2] for name in names}
    close = get_close_matches(value, [*last, *last.values()])
    similar = {
        name: SequenceMatcher(None, value, part).ratio()
        for name, part in last.items()
        if name in close or part in close or (value in name and len(value) > 2)
    }
    return sorted(similar, key=similar.__getitem__, reverse=True)[:MOST_SIMILAR]


class ParamsOption(click.Option):
    """Kedro's option ``--params``, which may be repeated; of several values for a parameter, the last is used."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Leave a mapping from the file of ``--config`` unchanged; convert other values as click does."""
        return value if isinstance(value, dict) else super().type_cast_value(ctx, value)


def _split_params(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Return the values of ``--params`` as nested parameters.

    Kedro would split at every comma. Here only a comma before ``name=`` separates two parameters, so that a value may
    contain commas, as in ``images.columns.label=[cat,dog]``.
    """
    if isinstance(value, dict):  # of the file that --config names
        return value
    texts = [[item.strip(", ") for item in NEXT_PARAMETER.split(text) if item.strip(", ")] for text in value]
    for first, *others in filter(None, texts):
        for name in (re.split(r"[.=]", item)[0].strip() for item in others):
            if name not in GROUPS:
                raise click.ClickException(
                    f"--params: a comma before a name and '=' separates parameters, but {name!r} is no parameter; if "
                    f"the comma belongs to the value of {first.partition('=')[0]}, set it in "
                    "conf/local/parameters.yml or, if the value is a path, rename the folder"
                )
    items = [re.sub(r"\s*=\s*", "=", item, count=1) for text in texts for item in text]
    for item in items:
        if not item.partition("=")[0].strip() or "=" not in item:
            raise click.ClickException(f"--params: must be name=value, as in training.epochs=5, got {item!r}")
    return OmegaConf.to_container(OmegaConf.from_dotlist(items))


class JupyterGroup(click.Group):
    """Kedro's group ``kedro jupyter``. If Jupyter is not installed, the error names the extra to install."""

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


def _with_one_line_errors(command: click.Command) -> OneLineErrors:
    params = [
        ParamsOption(param.opts, multiple=True, type=click.UNPROCESSED, help=PARAMS_HELP, callback=_split_params)
        if param.name == "params"
        else param
        for param in command.params
    ]
    return OneLineErrors(
        command.name, context_settings=CONTEXT_SETTINGS, callback=command.callback, params=params, help=command.help
    )


run = _with_one_line_errors(kedro_run)  # the name by which `__main__` of the installed package finds the command
cli.add_command(run)
cli.add_command(JupyterGroup("jupyter", commands=jupyter.commands, help=jupyter.help))
for kedro_group in (catalog, registry):
    commands = [_with_one_line_errors(command) for command in kedro_group.commands.values()]
    cli.add_command(click.Group(kedro_group.name, commands, help=kedro_group.help))
cli.add_command(
    click.Command("send-spool", callback=send_outbox.callback, help=send_outbox.help, deprecated="Use send-outbox.")
)
