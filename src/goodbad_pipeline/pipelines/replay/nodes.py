"""Nodes that check whether a recorded run can be repeated, and whether the repetition has the same metrics."""

import logging
import math
from typing import Any

import pandas as pd

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params import ReplayParams
from goodbad_pipeline.tracking.run_record import RunRecord, current_tags, labels_digest, read_run

logger = logging.getLogger(__name__)

METRICS = "test_"
CHANGED = " with changes"


def verify_run(labels: pd.DataFrame, replay: ReplayParams) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Before the training, compare code, package versions and data with the recorded run.

    Returns:
        The labels, and one row per check: what, recorded, now, matches.

    Raises:
        InputError: The data differ, or ``replay.strict`` is true and the code or a version differs.
    """
    record = read_run(str(replay.run_id))
    if "splits" not in record.parameters:
        raise InputError(
            f"replay.run_id: '{record.name}' is a run of only a part of the pipeline; choose a run that `kedro run` "
            "started without --pipeline"
        )
    checks = compare_origins(record, current_tags(), labels_digest(labels)[: len(record.labels or "")])
    failed = [check for check in checks if not check["matches"]]
    for check in failed:
        logger.warning(
            "The replay differs from the recorded run in %(what)s: recorded %(recorded)s, now %(now)s", check
        )
    if any(check["what"] == "labels" for check in failed) or (replay.strict and failed):
        changes = "; ".join(f"{check['what']} was {check['recorded']}, is {check['now']}" for check in failed)
        lost = " (its uncommitted changes cannot be restored)" if CHANGED in _commit(record.tags) else ""
        raise InputError(
            f"replay: run '{record.run_id}' cannot be repeated here: {changes}{lost}. Restore what changed (git "
            "checkout, constraints.txt, the images), or accept other code and versions with replay.strict=false"
        )
    return labels, checks


def compare_origins(record: RunRecord, now: dict[str, str], digest: str) -> list[dict[str, Any]]:
    """Return one row per check. Commits match only if both are known and neither run had uncommitted changes."""
    pairs = {name: (value, now.get(name)) for name, value in sorted(record.versions.items())}
    checks = [{"what": name, "recorded": old, "now": new, "matches": old == new} for name, (old, new) in pairs.items()]
    commits = [_commit(record.tags), _commit(now)]
    same = commits[0] == commits[1] and record.tags.get("git_dirty") == now.get("git_dirty") == "false"
    checks.append({"what": "git_commit", "recorded": commits[0], "now": commits[1], "matches": same})
    checks.append({"what": "labels", "recorded": record.labels, "now": digest, "matches": record.labels == digest})
    return checks


def _commit(tags: dict[str, str]) -> str:
    dirty = CHANGED if tags.get("git_dirty") == "true" else ""
    return tags.get("git_commit", "unknown") + dirty


def compare_metrics(
    test_metrics: dict[str, float], checks: list[dict[str, Any]], replay: ReplayParams
) -> tuple[dict[str, Any], dict[str, float]]:
    """Compare the metrics with the recorded metrics; return a report and the metrics of this run."""
    record = read_run(str(replay.run_id))
    names = sorted(name for name in test_metrics if name.startswith(METRICS))
    metrics = {name: _difference(record.metrics.get(name), test_metrics[name], replay.tolerance) for name in names}
    differing = [name for name, row in metrics.items() if not row["agrees"]]
    agrees = bool(names) and not differing
    report = {
        "run_id": record.run_id,
        "name": record.name,
        "agrees": agrees,
        "tolerance": replay.tolerance,
        "same_origins": all(check["matches"] for check in checks),
        "checks": checks,
        "metrics": metrics,
    }
    if agrees:
        logger.info("Replay of '%s': %d metrics agree within %g", record.name, len(names), replay.tolerance)
    else:
        logger.warning(
            "Replay of '%s': metrics that differ by more than %g: %s",
            record.name,
            replay.tolerance,
            ", ".join(differing) or "none",
        )
    return report, {**test_metrics, "replay_agrees": float(agrees)}


def _difference(recorded: float | None, replayed: float, tolerance: float) -> dict[str, Any]:
    difference = None if recorded is None else abs(recorded - replayed)
    both_undefined = recorded is not None and math.isnan(recorded) and math.isnan(replayed)
    agrees = both_undefined or (difference is not None and difference <= tolerance)
    return {"recorded": recorded, "replayed": replayed, "difference": difference, "agrees": agrees}
