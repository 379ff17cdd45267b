"""``kedro run`` as Kedro has it, but for one thing: what a user can put right ends in one line, not in a traceback."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.project import pipelines
from kedro.utils import find_kedro_project

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.hooks.signals import exit_status
from goodbad_pipeline.training.stopping import Stopped


class OneLineErrors(click.Command):
    """A command that ends with status 1 and one line where the user's input is at fault."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for name in filter(None, (ctx.params.get("pipeline"), *(ctx.params.get("pipelines") or ()))):
            if name not in pipelines:
                raise click.ClickException(f"--pipeline: there is no {name!r}; there are {', '.join(pipelines)}")
        try:
            return super().invoke(ctx)
        except Stopped as stop:
            click.echo(f"Run {stop}; the same command goes on from there", err=True)
            ctx.exit(exit_status(stop.reason))
        except Exception as error:
            cause = _input_error(error)
            if cause is None:
                raise
            raise click.ClickException(" ".join(str(cause).split())) from error


def _input_error(error: BaseException | None) -> InputError | None:
    """Find the input error behind ``error``: Kedro wraps what is raised while a dataset is saved."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


@click.group(context_settings=CONTEXT_SETTINGS, name="goodbad_pipeline")
def cli() -> None:
    """Command line tools of goodbad_pipeline."""


run = OneLineErrors(
    "run", context_settings=CONTEXT_SETTINGS, callback=kedro_run.callback, params=kedro_run.params, help=kedro_run.help
)
cli.add_command(run)


@cli.command("send-spool")
def send_spool() -> None:
    """Tell MLflow what runs logged while it did not answer."""
    from goodbad_pipeline import tracking  # noqa: PLC0415 - imports MLflow

    told, waiting = tracking.replay((find_kedro_project(Path.cwd()) or Path.cwd()) / tracking.FOLDER)
    click.echo(f"{told} things told; {waiting} wait for a server that does not answer")
