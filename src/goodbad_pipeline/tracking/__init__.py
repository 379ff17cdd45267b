"""What a run tells MLflow: at once, or, while MLflow does not answer, later.

Everything the project logs goes through the functions of this room. They find the run that is under way by themselves,
in whichever thread a node runs, and do nothing where there is none.
"""

from goodbad_pipeline.tracking.outbox import FOLDER, Spool, replay
from goodbad_pipeline.tracking.run import (
    begin,
    child_run,
    current_run,
    cut_off_run,
    end_run,
    leave_run,
    log_file,
    log_input,
    log_metrics,
    log_params,
    served_run,
    set_tags,
    start_offline,
)
from goodbad_pipeline.tracking.server import KILLED, TrackingUnavailable, asking, is_away
from goodbad_pipeline.tracking.stale_runs import (
    FAILURE,
    STOPPED,
    close_stale_runs,
    forget_end,
    marked_runs,
    process_tags,
)
from goodbad_pipeline.tracking.store import anchor_store, answering, first_use

__all__ = [
    "FAILURE",
    "FOLDER",
    "KILLED",
    "STOPPED",
    "Spool",
    "TrackingUnavailable",
    "anchor_store",
    "answering",
    "asking",
    "begin",
    "child_run",
    "close_stale_runs",
    "current_run",
    "cut_off_run",
    "end_run",
    "first_use",
    "forget_end",
    "is_away",
    "leave_run",
    "log_file",
    "log_input",
    "log_metrics",
    "log_params",
    "marked_runs",
    "process_tags",
    "replay",
    "served_run",
    "set_tags",
    "start_offline",
]
