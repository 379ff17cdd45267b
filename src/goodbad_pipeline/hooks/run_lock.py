"""Several runs of one project at once: each claims the files it reads and writes, and none gets another's."""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from goodbad_pipeline.atomic_files import atomic_write
from goodbad_pipeline.errors import InputError, writing
from goodbad_pipeline.tracking.process_identity import ProcessMark, this_attempt, this_process, was_requeued

FOLDER = Path("data", ".runs")


@dataclass(frozen=True)
class RunLock:
    """What a run holds while it goes on.

    Attributes:
        process: Whose it is.
        since: When it began, local time.
        command: What it was called with; parameters by their names alone, for any value may be a secret.
        reads: Files and folders that it reads and does not make, as :func:`_places` names them.
        writes: Those it makes.
        attempt: At which job of Slurm's, as :func:`this_attempt` has it.
    """

    process: ProcessMark
    since: str
    command: str
    reads: frozenset[str]
    writes: frozenset[str]
    attempt: str = ""

    def is_over(self) -> bool:
        """Whether its run goes on no more; of one on another machine only a job that was requeued tells."""
        return self.process.has_ended() or was_requeued(self.attempt)

    def clashes(self, other: "RunLock") -> list[str]:
        """Files that one of the two writes and the other reads or writes."""
        both = self.writes & (other.reads | other.writes) | self.reads & other.writes
        return sorted(both)


class RunLockHooks:
    """Ends a run before it begins where another one would mix with it.

    Claims are small files, ``data/.runs/<host>-<pid>.json``; one whose process is no more counts for nothing and is
    removed.
    """

    def __init__(self) -> None:
        self._root = Path()
        self._held: Path | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the project's folder."""
        self._root = Path(context.project_path)

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> Generator[None, Any, Any]:
        """Claim what the pipeline reads and writes, before anybody looks at it; give it up if the run cannot begin."""
        claim = RunLock(
            process=this_process(),
            since=datetime.now().isoformat(" ", "seconds"),
            command=_command(run_params),
            reads=_places(pipeline.inputs(), catalog, self._root),
            writes=_places(pipeline.all_outputs(), catalog, self._root),
            attempt=this_attempt(),
        )
        self._held = acquire(claim, self._root / FOLDER)
        try:
            return (yield)
        except BaseException:
            self._give_up()
            raise

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Give the claim up."""
        self._give_up()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Give the claim up."""
        self._give_up()

    def _give_up(self) -> None:
        if self._held is not None:
            self._held.unlink(missing_ok=True)
            self._held = None


def acquire(claim: RunLock, folder: Path) -> Path:
    """Write a claim down.

    Returns:
        Its file; who removes it gives the claim up.

    Raises:
        InputError: A run that is going on holds some of it; or the folder cannot be written to.
    """
    file = folder / f"{claim.process.host}-{claim.process.pid}.json"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for other in folder.glob("*.json"):
                held = _read(other)
                if held is None or other == file or held.is_over():
                    other.unlink(missing_ok=True)
                elif clashes := claim.clashes(held):
                    raise InputError(_message(clashes, held, other))
            with atomic_write(file) as draft:
                draft.write_text(json.dumps(asdict(claim), default=sorted), encoding="utf-8")
    return file


def _command(run_params: Mapping[str, Any]) -> str:
    words = ["kedro run"]
    if pipelines := run_params.get("pipeline_names"):
        words.append(f"--pipeline={','.join(pipelines)}")
    if names := sorted(_names(run_params.get("runtime_params") or {})):
        words.append(f"--params={','.join(names)}")
    return " ".join(words)


def _names(values: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, f"{within}{name}.")
        else:
            yield f"{within}{name}"


def _message(clashes: list[str], held: RunLock, file: Path) -> str:
    named = ", ".join(clashes[:3]) + (f" and {len(clashes) - 3} more" if len(clashes) > 3 else "")
    elsewhere = f"; if that is no more, remove {file}" if held.process.host != this_process().host else ""
    return (
        f"{named}: in use by another run of this project, process {held.process.pid} on {held.process.host} since "
        f"{held.since} ({held.command}); wait until it has ended, or work in a copy of the project{elsewhere}"
    )


def _read(file: Path) -> RunLock | None:
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        sets = {name: frozenset(values[name]) for name in ("reads", "writes")}
        return RunLock(**{**values, **sets, "process": ProcessMark(**values["process"])})
    except (OSError, ValueError, KeyError, TypeError):  # somebody wrote into it
        return None


def _places(names: Iterable[str], catalog: DataCatalog, root: Path) -> frozenset[str]:
    """Where those lie that outlive a run, under the project's folder if they do: two names may stand for one file."""
    stored = (name for name in names if not name.startswith("params:") and name in catalog)
    datasets = ((name, catalog.get(name)) for name in stored)
    return frozenset(_place(name, found, root) for name, found in datasets if not isinstance(found, MemoryDataset))


def _place(name: str, dataset: Any, root: Path) -> str:
    described = dataset._describe()
    path, protocol = described.get("filepath"), described.get("protocol") or "file"
    if path is None:
        return name
    if protocol != "file":
        return f"{protocol}://{path}"
    place, project = Path(path).resolve(), root.resolve()
    return str(place.relative_to(project) if place.is_relative_to(project) else place)
