"""Datasets to which trainings, trials and hyperparameter searches write while they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodbad_pipeline import tracking
from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets.load_only import LoadOnlyDataset
from goodbad_pipeline.experiments.study import StudyStore
from goodbad_pipeline.experiments.trial_spec import TrialCache, TrialResult, TrialSpec
from goodbad_pipeline.tracking.processes import process_tags
from goodbad_pipeline.training.checkpoints import CheckpointStore
from goodbad_pipeline.training.progress import EpochCallback, Row, epoch_metrics

if TYPE_CHECKING:
    from sqlalchemy import URL

CACHE_KEY, REUSED = "trial.cache_key", "trial.reused"


class CheckpointsDataset(LoadOnlyDataset[CheckpointStore]):
    """Loads the store of checkpoints. A checkpoint names the MLflow run that a resumed training continues."""

    def load(self) -> CheckpointStore:
        """Return the `CheckpointStore` of the folder."""
        return CheckpointStore(self._filepath, owner=tracking.current_run)


class EpochLogDataset(LoadOnlyDataset[EpochCallback]):
    """Loads a callback that logs the metrics of each epoch to the current MLflow run, if there is one.

    Training itself does not depend on MLflow. A resumed training reports its earlier epochs again; the callback skips
    epochs that the run has logged already.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> EpochCallback:
        """Return the callback."""
        return partial(_log_epoch, once=True)

    def _describe(self) -> dict[str, Any]:
        return {}


class StudyDataset(LoadOnlyDataset[StudyStore]):
    """Loads the store of hyperparameter searches. A search names the MLflow run that a resumed search continues.

    ``url`` is a database that several processes share. Hooks set ``url``, since a password must not be in the catalog.
    """

    url: URL | None = None

    def load(self) -> StudyStore:
        """Return the `StudyStore` of the folder or of ``url``."""
        return StudyStore(self._filepath, owner=tracking.current_run, url=self.url)


class TrialsDataset(LoadOnlyDataset[TrialCache]):
    """Loads a function that runs a trial (one training of one network) or returns the stored result of the trial.

    The result is stored as soon as the trial ends. Each trial is logged as a child of the current MLflow run, but only
    once per run. The tag ``trial.reused`` tells whether the result was stored before.
    """

    def load(self) -> TrialCache:
        """Return a function that trains a trial, or returns its stored result."""
        return self._run_trial

    def _run_trial(self, spec: TrialSpec, train: Callable[[EpochCallback], TrialResult]) -> TrialResult:
        result, logged = self._read(spec)
        reused, log_entry = result is not None, f"{spec.name} in {tracking.current_run()}"
        if result is not None and log_entry in logged:
            return result
        tags = {CACHE_KEY: spec.cache_key, REUSED: str(reused).lower(), **process_tags()}
        with tracking.child_run(f"{spec.name}, seed {spec.seed}", tags):
            tracking.log_params({"network": spec.name, "seed": spec.seed, **spec.shown})
            if result is None:
                result = train(_log_epoch)
                self._write(spec, result, [])
            tracking.log_metrics(result)
        if tracking.current_run() is not None:
            self._write(spec, result, [*logged, log_entry])
        return result

    def _file(self, spec: TrialSpec) -> Path:
        return self._filepath / f"{spec.cache_key}.json"

    def _read(self, spec: TrialSpec) -> tuple[TrialResult | None, list[str]]:
        """Return the stored result or None, and the list of MLflow runs that logged the trial before."""
        try:
            content = json.loads(self._file(spec).read_text(encoding="utf-8"))
            result = {str(name): float(value) for name, value in content["result"].items()}
            return result, list(content["logged"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing or damaged
            return None, []

    def _write(self, spec: TrialSpec, result: TrialResult, logged: list[str]) -> None:
        entry = {"network": spec.name, "seed": spec.seed, "result": result, "logged": logged, "config": spec.config}
        with atomic_write(self._file(spec)) as draft:
            draft.write_text(json.dumps(entry, indent=1), encoding="utf-8")


def _log_epoch(row: Row, *, once: bool = False) -> None:
    tracking.log_metrics(epoch_metrics(row), step=row["epoch"], once=once)
