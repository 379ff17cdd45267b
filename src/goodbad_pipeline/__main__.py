"""Entry point of the installed package: ``python -m goodbad_pipeline`` or ``goodbad_pipeline``."""

# ruff: noqa: E402 - Kedro configures logging when it is imported
import logging
import sys
from pathlib import Path
from typing import Any

logging.disable(logging.INFO)  # Kedro would log its own logging.yml, but the command reads that of --conf-source

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project

logging.disable(logging.NOTSET)


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the command ``kedro run`` of this package."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
