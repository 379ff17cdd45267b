"""A lock on the files of each run, so that no run of a project writes files that another run uses."""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from pydantic import TypeAdapter

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.datasets.load_only import OptionalDataset
from goodbad_pipeline.errors import InputError, writing
from goodbad_pipeline.tracking.processes import ProcessIdentity, current_process, is_earlier_attempt, slurm_attempt

FOLDER = Path("data", ".runs")


@dataclass(frozen=True)
class RunLock:
    """The files that a run uses. Paths inside the project are relative to the project."""

    process: ProcessIdentity
    since: str  # local time at which the run began
    command: str  # contains names of parameters but no values, which may be secret
    reads: frozenset[str]  # files that the run reads and does not write
    writes: frozenset[str]
    attempt: str = ""  # result of `slurm_attempt`

    def is_stale(self) -> bool:
        """Return whether the run has certainly ended. The end of a run on another host is known only for Slurm jobs."""
        return self.process.has_ended() or is_earlier_attempt(self.attempt)

    def conflicts(self, other: "RunLock") -> list[str]:
        """Return the paths that one run writes and the other run reads or writes."""
        return sorted(self.writes & (other.reads | other.writes) | self.reads & other.writes)


_FORMAT = TypeAdapter(RunLock)


class RunLockHooks:
    """Locks the files of a run before it begins, and raises an InputError if another run uses them.

    A lock is a file ``data/.runs/<host>-<pid>.json``. Locks of processes that have ended are ignored and removed.
    """

    def __init__(self) -> None:
        self._root = Path()
        self._lock_file: Path | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the project's root."""
        self._root = Path(context.project_path)

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> Generator[None, Any, Any]:
        """Lock the files of the pipeline before other hooks run; release the lock if another hook raises an error."""
        lock = RunLock(
            process=current_process(),
            since=datetime.now().isoformat(" ", "seconds"),
            command=_command(run_params),
            reads=_paths(pipeline.inputs(), catalog, self._root),
            writes=_paths(pipeline.all_outputs(), catalog, self._root),
            attempt=slurm_attempt(),
        )
        self._lock_file = acquire(lock, self._root / FOLDER)
        try:
            return (yield)
        except BaseException:
            self.after_pipeline_run()
            raise

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Release the lock."""
        if self._lock_file is not None:
            self._lock_file.unlink(missing_ok=True)
            self._lock_file = None

    on_pipeline_error = after_pipeline_run


def acquire(lock: RunLock, folder: Path) -> Path:
    """Write a lock file and return its path; removing the file releases the lock.

    Raises:
        InputError: Another run uses some of the files, or the folder is not writable.
    """
    file = folder / f"{lock.process.host}-{lock.process.pid}.json"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for other_file in folder.glob("*.json"):
                other = _read(other_file)
                if other is None or other_file == file or other.is_stale():
                    other_file.unlink(missing_ok=True)
                elif conflicts := lock.conflicts(other):
                    raise InputError(_message(conflicts, other, other_file))
            with atomic_write(file) as draft:
                draft.write_bytes(_FORMAT.dump_json(lock))
    return file


def _read(file: Path) -> RunLock | None:
    try:
        return _FORMAT.validate_json(file.read_bytes())
    except (OSError, ValueError):  # the lock file is damaged
        return None


def _message(conflicts: list[str], other: RunLock, file: Path) -> str:
    paths = ", ".join(conflicts[:3]) + (f" and {len(conflicts) - 3} more" if len(conflicts) > 3 else "")
    elsewhere = f"; if it has ended, remove {file}" if other.process.host != current_process().host else ""
    return (
        f"{paths}: in use by another run of this project, process {other.process.pid} on {other.process.host} since "
        f"{other.since} ({other.command}); wait until it has ended, or use a copy of the project{elsewhere}"
    )


def _command(run_params: Mapping[str, Any]) -> str:
    words = ["kedro run"]
    if pipelines := run_params.get("pipeline_names"):
        words.append(f"--pipeline={','.join(pipelines)}")
    if names := sorted(pd.json_normalize(run_params.get("runtime_params") or {}).columns):
        words.append(f"--params={','.join(names)}")
    return " ".join(words)


def _paths(names: Iterable[str], catalog: DataCatalog, root: Path) -> frozenset[str]:
    """Return the paths to lock: all stored datasets except optional datasets.

    An optional dataset needs no lock, because its file is replaced in one step; a run reads the old or the new file.
    """
    stored = (name for name in names if not name.startswith("params:") and name in catalog)
    datasets = ((name, catalog.get(name)) for name in stored)
    free = (MemoryDataset, OptionalDataset)
    return frozenset(_path(name, dataset, root) for name, dataset in datasets if not isinstance(dataset, free))


def _path(name: str, dataset: Any, root: Path) -> str:
    description = dataset._describe()
    path, protocol = description.get("filepath"), description.get("protocol") or "file"
    if path is None:
        return name
    if protocol != "file":
        return f"{protocol}://{path}"
    resolved, project = Path(path).resolve(), root.resolve()
    return str(resolved.relative_to(project) if resolved.is_relative_to(project) else resolved)
