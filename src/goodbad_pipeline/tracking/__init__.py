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
from goodbad_pipeline.tracking.server import KILLED, TrackingUnavailable, is_unavailable, raise_unavailable
from goodbad_pipeline.tracking.stale_runs import (
    FAILURE_TAG,
    STOPPED_TAG,
    clear_end_tags,
    close_stale_runs,
    process_tags,
    tag_new_runs,
)
from goodbad_pipeline.tracking.store import lock_store, require_server, resolve_store

__all__ = [
    "FAILURE_TAG",
    "KILLED",
    "OUTBOX_FOLDER",
    "STOPPED_TAG",
    "Outbox",
    "TrackingUnavailable",
    "activate_run",
    "begin_run",
    "child_run",
    "clear_end_tags",
    "close_stale_runs",
    "current_run",
    "end_run",
    "end_run_within",
    "is_unavailable",
    "leave_run",
    "lock_store",
    "log_file",
    "log_input",
    "log_metrics",
    "log_params",
    "process_tags",
    "raise_unavailable",
    "require_server",
    "resolve_store",
    "send_outbox",
    "set_tags",
    "start_offline_run",
    "tag_new_runs",
]
