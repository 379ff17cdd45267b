"""Where trials are kept: one small file each, and a child of the MLflow run each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from goodbad_pipeline import tracking
from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.experiments.trial_spec import TrialCache, TrialResult, TrialSpec
from goodbad_pipeline.tracking import process_tags
from goodbad_pipeline.training.progress import EpochCallback

REUSED = "trial.reused"
FINGERPRINT = "trial.fingerprint"


class TrialsDataset(AbstractDataset[None, TrialCache]):
    """Loads a function that runs a trial, or gives back what the same trial gave before.

    Each trial is a child of the MLflow run under way, if there is one, with parameters, epochs and results; one that
    was trained before is a child too, tagged ``trial.reused``, so that a run shows all it compares. A file appears when
    its trial is complete, so an interrupted run loses the trial it was at and no other. A run that goes on where it was
    cut off is not shown again what it has shown.

    Args:
        filepath: Folder of the files, which are named after the trials' fingerprints; it may be removed at any time.
        metadata: For plugins, such as Kedro-Viz's layer.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> TrialCache:
        """Return the function: it takes a trial's facts and how to train it."""
        return self._record

    def save(self, data: None) -> None:
        """Refuse: trials are kept one by one."""
        raise DatasetError("A trial is kept by calling the function that this dataset loads, not by saving")

    def _record(self, facts: TrialSpec, train: Callable[[EpochCallback], TrialResult]) -> TrialResult:
        content = self._read(facts)
        stored = None if content is None else content["result"]
        shown, here = ([] if content is None else content["shown"]), f"{facts.name} in {tracking.current_run()}"
        if stored is not None and here in shown:
            return stored
        tags = {FINGERPRINT: facts.fingerprint, REUSED: str(stored is not None).lower(), **process_tags()}
        with tracking.child_run(f"{facts.name}, seed {facts.seed}", tags):
            tracking.log_params({"network": facts.name, "seed": facts.seed, **facts.shown})
            result = train(_log_epoch) if stored is None else stored
            if stored is None:
                self._keep(facts, result, [])
            tracking.log_metrics(result)
        if tracking.current_run() is not None:
            self._keep(facts, result, [*shown, here])
        return result

    def _file(self, facts: TrialSpec) -> Path:
        return self._folder / f"{facts.fingerprint}.json"

    def _read(self, facts: TrialSpec) -> dict[str, Any] | None:
        """What was kept: the result, and the runs it was shown in."""
        try:
            content = json.loads(self._file(facts).read_text(encoding="utf-8"))
            result = {str(name): float(value) for name, value in content["result"].items()}
            return {"result": result, "shown": list(content.get("shown", []))}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none there, or somebody wrote into it
            return None

    def _keep(self, facts: TrialSpec, result: TrialResult, shown: list[str]) -> None:
        content = {
            "network": facts.name,
            "seed": facts.seed,
            "result": result,
            "shown": shown,
            "decides": facts.decides,
        }
        with atomic_write(self._file(facts)) as draft:
            draft.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}


def _log_epoch(epoch: int, metrics: dict[str, float]) -> None:
    tracking.log_metrics(metrics, step=epoch)
