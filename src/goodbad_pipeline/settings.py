"""The project's settings for Kedro: its hooks, and the environment variables that libraries read."""

# ruff: noqa: E402 - MLflow and TensorFlow read environment variables when they are imported
import logging
import os
import sys

# Warnings go to the logger py.warnings, which conf/logging.yml silences, because all concern libraries. Kedro does not
# find that file in a packaged run or in a notebook.
logging.captureWarnings(True)
if not (library_warnings := logging.getLogger("py.warnings")).level:
    library_warnings.setLevel(logging.ERROR)
# Kedro and MLflow send no telemetry, because names of datasets are private. Kedro may have imported MLflow already, so
# MLflow's client is made to read the variable again.
os.environ["KEDRO_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if "mlflow.telemetry" in sys.modules:
    sys.modules["mlflow.telemetry"].set_telemetry_client()
# Models are loaded from archives without code.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow's requests fail after seconds, not minutes; entries are then stored in the outbox (tracking/outbox.py).
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")

from goodbad_pipeline.lazy import collecting_no_garbage

with collecting_no_garbage():
    from goodbad_pipeline.context import ConfigLoader, Context
    from goodbad_pipeline.hooks.checks import CheckHooks, helps_after_error
    from goodbad_pipeline.hooks.memory import MemoryHooks
    from goodbad_pipeline.hooks.run_lock import RunLockHooks
    from goodbad_pipeline.hooks.signals import StopHooks
    from goodbad_pipeline.hooks.tracking import TrackingHooks

logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)  # importing kedro_mlflow sets the level INFO
for module in ("pipeline.node", "runner.sequential_runner", "runner.thread_runner"):
    logging.getLogger(f"kedro.{module}").addFilter(helps_after_error)

# TrackingHooks extends kedro-mlflow's hook; both together would log everything twice.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-mlflow")  # the plugin's name depends on the tool that packaged it
CONTEXT_CLASS = Context
CONFIG_LOADER_CLASS = ConfigLoader
HOOKS = (TrackingHooks(), RunLockHooks(), CheckHooks(), StopHooks(), MemoryHooks())

# With a soft merge, `--params model.phi=1` changes φ and keeps the other parameters of the model.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
}
