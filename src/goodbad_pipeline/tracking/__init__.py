"""Logging to MLflow: immediately, or later if MLflow is unavailable.

The functions of this package log to the current run, from any thread. Without a current run, they do nothing.
"""

from goodbad_pipeline.tracking.outbox import OUTBOX_FOLDER, Outbox, send_outbox
from goodbad_pipeline.tracking.run import (
    MAIN_METRICS,
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
    plain_name,
    set_tags,
    start_offline_run,
)
from goodbad_pipeline.tracking.server import KILLED, TrackingUnavailable, raise_unavailable
