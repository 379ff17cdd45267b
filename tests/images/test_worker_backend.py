import importlib
import os
import sys
import traceback
import types
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import joblib
import pandas as pd
import pytest
from clusters import CLUSTERS, cluster
from factories import encoded, make_image

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import worker_backend
from goodbad_pipeline.images.scan import Scan, scan_candidates
from goodbad_pipeline.images.worker_backend import WorkerBackend
from goodbad_pipeline.secrecy import hide_secrets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(150):  # more than two batches
        (tmp_path / f"{number:03}.png").write_bytes(encoded(make_image(number, bright=True, side=8)))
    (tmp_path / "cut.png").write_bytes(encoded(make_image(1, bright=True))[:99])
    return tmp_path


def scan(root: Path, backend: WorkerBackend) -> Scan:
    table = pd.DataFrame({"path": sorted(file.name for file in root.iterdir()), "label": "x"}, dtype=object)
    table = table.assign(group=None, split=None)
    return scan_candidates(table, root, max_pixels=10_000, background=(0, 0, 0), backend=backend)


def assert_same(found: Scan, other: Scan) -> None:
    pd.testing.assert_frame_equal(found.images, other.images)
    pd.testing.assert_frame_equal(found.quarantine, other.quarantine)


def test_the_number_of_workers_changes_nothing(root: Path) -> None:
    assert_same(scan(root, WorkerBackend(workers=1)), scan(root, WorkerBackend(workers=3)))


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_returns_the_same(root: Path, name: str) -> None:
    here = scan(root, WorkerBackend())
    with cluster(name) as options:
        there = scan(root, WorkerBackend(name, options))
    assert_same(there, here)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dask", "ray", "spark"])
def test_a_cluster_names_what_ended_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with cluster(name) as options:
        backend = WorkerBackend(name, options, parameter="predict.engine")
        (tmp_path / "only_here.py").write_text("def same(value):\n    return value\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(
            InputError, match=rf"predict\.engine: '{name}' failed \(its workers cannot import only_here"
        ):
            list(backend.map(importlib.import_module("only_here").same, [(1,)] * 3))
        with pytest.raises(InputError, match=rf"predict\.engine: '{name}' failed \(a worker process ended"):
            list(backend.map(os._exit, [(1,)] * 3))


def test_a_backend_is_registered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spark = types.SimpleNamespace(SparkDistributedBackend=joblib._parallel_backends.ThreadingBackend)
    monkeypatch.setitem(sys.modules, "joblibspark.backend", spark)
    monkeypatch.setenv("PYSPARK_PYTHON", "python3")
    assert len(scan(root, WorkerBackend("spark")).images) == 150


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (WorkerBackend("nosuch"), "got 'nosuch'"),
        (
            WorkerBackend("dask"),
            r"'dask' needs a package that is not installed .*; pip install .*\[cluster\]",
        ),
        (
            WorkerBackend("ray"),
            r"'ray' needs a package that is not installed .*; pip install .*\[ray\]",
        ),
        (WorkerBackend("local", {"scheduler_host": "x"}), "engine_options"),
    ],
)
def test_a_missing_backend_raises_one_line(
    root: Path, backend: WorkerBackend, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("distributed", "ray"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"images\.scan\.engine: .*" + message):
        scan(root, backend)


class Listing(joblib._parallel_backends.ThreadingBackend):
    """A backend that returns lists only, as Ray and Spark do."""

    supports_return_generator = False


def test_a_backend_that_returns_lists_only_keeps_the_order() -> None:
    joblib.register_parallel_backend("listing", Listing)
    taken: list[int] = []
    backend = WorkerBackend("listing", workers=2)
    results = backend.map(abs, ((-number,) for number in range(100) if not taken.append(number)))
    assert next(results) == 0
    assert len(taken) < 100  # later arguments are not in memory yet
    assert list(results) == list(range(1, 100))


def test_a_worker_that_ends_is_named() -> None:
    with pytest.raises(InputError, match=r"predict\.engine: 'loky' failed \(a worker process ended"):
        list(WorkerBackend("loky", workers=2, parameter="predict.engine").map(os._exit, [(1,)] * 3))


class Losing:
    """A backend that never calls back for a task that is lost, as joblib's for Dask."""

    def submit(self, func: object, callback: object = None) -> Future:
        return Future()

    def retrieve_result_callback(self, out: object) -> object:
        return out


def test_a_task_that_dask_gives_up_raises_its_error() -> None:
    backend, called = worker_backend._raise_lost_tasks(Losing)(), []
    lost, done = backend.submit(None, called.append), backend.submit(None, called.append)
    lost.set_exception(OSError("4 workers died"))
    done.set_result("its callback is called by joblib")
    assert [str(error) for error in called] == ["4 workers died"]
    assert backend.retrieve_result_callback("a result") == "a result"
    with pytest.raises(OSError, match="4 workers died"):
        backend.retrieve_result_callback(called[0])


def lacking(name: str) -> None:
    raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_a_worker_without_the_package_is_named() -> None:
    with pytest.raises(InputError, match=r"workers cannot import goodbad_pipeline\.images; install this package"):
        list(WorkerBackend("threading").map(lacking, [("goodbad_pipeline.images",)]))


SPARK_TEXT = """An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 1 times
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "worker.py", line 3
FileNotFoundError: [Errno 2] No such file or directory: 'pets.zip'
\tat org.apache.spark.api.python.BasePythonRunner.handlePythonException(PythonRunner.scala:1)
"""


def fail(text: str) -> None:
    raise RuntimeError(text)


def test_the_error_of_the_worker_is_named() -> None:
    with pytest.raises(InputError, match=r"'threading' failed \(FileNotFoundError: .* 'pets.zip'\)$"):
        list(WorkerBackend("threading").map(fail, [(SPARK_TEXT,)]))


class Confiding(joblib._parallel_backends.ThreadingBackend):
    """A backend with a token, which its error message reveals."""

    given: ClassVar[list[str]] = []

    def __init__(self, token: str, broken: bool = False, **options: object) -> None:
        super().__init__(**options)
        self.given.append(token)
        if broken:
            raise OSError(f"nobody answers at tls://{token}@host")


@pytest.fixture
def confiding(monkeypatch: pytest.MonkeyPatch) -> None:
    spark = types.SimpleNamespace(SparkDistributedBackend=Confiding)
    monkeypatch.setitem(sys.modules, "joblibspark.backend", spark)
    monkeypatch.setenv("PYSPARK_PYTHON", "python3")


def test_a_secret_option_reaches_the_backend_but_no_message(root: Path, confiding: None) -> None:
    options = hide_secrets({"token": {"secret": "open sesame"}})
    assert len(scan(root, WorkerBackend("spark", options)).images) == 150
    assert "open sesame" in Confiding.given
    with pytest.raises(InputError, match=r"tls://\*+@host") as caught:
        scan(root, WorkerBackend("spark", options | {"broken": True}))
    told = "".join(traceback.format_exception(caught.value))
    assert "open sesame" not in told
