"""Project settings: the one place where Kedro looks for hooks, configuration rules and switches."""

# ruff: noqa: E402 - switches first: MLflow and TensorFlow read them while they are imported
import logging
import os
import sys

# What libraries warn each other about goes to the logger py.warnings, which conf/logging.yml keeps quiet.
logging.captureWarnings(True)
# No telemetry, Kedro's (see .telemetry) or MLflow's: data sets and their names are nobody else's business. Kedro may
# have imported MLflow already, so its client is told to read the switch again.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if "mlflow.telemetry" in sys.modules:
    sys.modules["mlflow.telemetry"].set_telemetry_client()
# Models are loaded from archives that name no code to run.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A server that does not answer is given up after seconds, not minutes: what is logged waits for it (tracking/spool.py).
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from goodbad_pipeline.hooks.checks import CheckHooks
from goodbad_pipeline.hooks.memory import MemoryHooks
from goodbad_pipeline.hooks.run_lock import RunLockHooks
from goodbad_pipeline.hooks.signals import StopHooks
from goodbad_pipeline.hooks.tracking import TrackingHooks

logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)  # it sets itself to INFO when it is imported

# TrackingHooks is kedro-mlflow's own hook with our rules added; two of them would log everything twice.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-mlflow")  # its name depends on the packaging tool
HOOKS = (TrackingHooks(), RunLockHooks(), CheckHooks(), StopHooks(), MemoryHooks())

# `--params model.phi=1` must change φ and nothing beside it.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
}
