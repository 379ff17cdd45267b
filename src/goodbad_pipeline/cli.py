"""The project's ``kedro`` commands, among them a ``kedro run`` that prints errors in one line."""

import gc
import os
import sys
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.project import pipelines
from kedro.utils import find_kedro_project

from goodbad_pipeline import tracking
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks.signals import exit_status
from goodbad_pipeline.training.stopping import Stopped

# Commands such as `kedro ipython` start programs by name. They are found although the environment is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class OneLineErrors(click.Command):
    """A command that exits with status 1 after an InputError and prints its message in one line, without traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for name in filter(None, (ctx.params.get("pipeline"), *(ctx.params.get("pipelines") or ()))):
            if name not in pipelines:
                raise click.ClickException(f"--pipeline: must be one of {', '.join(pipelines)}, got {name!r}")
        gc.freeze()  # else each collection of garbage visits the objects of all imported modules
        try:
            return super().invoke(ctx)
        except Stopped as stop:
            click.echo(f"Run {stop}; run the same command again to resume", err=True)
            ctx.exit(exit_status(stop.reason))
        except Exception as error:
            cause = _input_error(error)
            if cause is None:
                raise
            raise click.ClickException(" ".join(str(cause).split())) from error
        finally:
            gc.freeze()  # the process ends, so its memory need not be freed object by object


def _input_error(error: BaseException | None) -> InputError | None:
    """Return the InputError that caused ``error``, or None; Kedro wraps errors that occur while a dataset is saved."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


@click.group(context_settings=CONTEXT_SETTINGS, name="goodbad_pipeline")
def cli() -> None:
    """Command line tools of goodbad_pipeline."""


@cli.command("send-outbox")
def send_outbox() -> None:
    """Send to MLflow what runs logged while it was unavailable."""
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    sent, waiting = tracking.send_outbox(project / tracking.OUTBOX_FOLDER)
    click.echo(f"Sent {sent} outbox entries to MLflow; {waiting} still wait")


run = OneLineErrors(  # the name by which `__main__` of the installed package finds the command
    "run",
    context_settings=CONTEXT_SETTINGS,
    callback=kedro_run.callback,
    params=kedro_run.params,
    help=kedro_run.help,
)
cli.add_command(run)
cli.add_command(
    click.Command("send-spool", callback=send_outbox.callback, help=send_outbox.help, deprecated="Use send-outbox.")
)
