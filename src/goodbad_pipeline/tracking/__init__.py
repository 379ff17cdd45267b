"""Logging to MLflow: at once, or later if MLflow is unavailable.

Everything that the project logs passes through the functions of this package. They find the current run by
themselves, in whichever thread a node runs, and do nothing if there is none.
"""

from goodbad_pipeline.tracking.outbox import OUTBOX_FOLDER, Outbox, send_outbox
from goodbad_pipeline.tracking.run import (
    activate_run,
    begin_run,
    child_run,
    current_run,
    end_run,
    end_run_within,
    leave_run,
    log_file,
    log_input,
    log_metrics,
    log_params,
    set_tags,
    start_offline_run,
)
from goodbad_pipeline.tracking.server import KILLED, TrackingUnavailable, raise_unavailable

__all__ = [
    "KILLED",
    "OUTBOX_FOLDER",
    "Outbox",
    "TrackingUnavailable",
    "activate_run",
    "begin_run",
    "child_run",
    "current_run",
    "end_run",
    "end_run_within",
    "leave_run",
    "log_file",
    "log_input",
    "log_metrics",
    "log_params",
    "raise_unavailable",
    "send_outbox",
    "set_tags",
    "start_offline_run",
]
