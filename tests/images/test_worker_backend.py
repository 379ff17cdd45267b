import sys
import traceback
import types
from pathlib import Path
from typing import ClassVar

import joblib
import pandas as pd
import pytest
from factories import encoded, make_image

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images import workers
from goodbad_pipeline.images.scan import Scan, scan_candidates
from goodbad_pipeline.images.workers import WorkerBackend
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


@pytest.mark.slow
def test_a_dask_cluster_returns_the_same(root: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    here = scan(root, WorkerBackend())
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        there = scan(root, WorkerBackend("dask", {"scheduler_host": cluster.scheduler_address}))
    assert_same(there, here)


def test_a_backend_is_registered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spark = types.ModuleType("joblibspark")
    spark.register_spark = lambda: joblib.register_parallel_backend("spark", joblib._parallel_backends.ThreadingBackend)
    monkeypatch.setitem(sys.modules, "joblibspark", spark)
    assert len(scan(root, WorkerBackend("spark")).images) == 150


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (WorkerBackend("nosuch"), "got 'nosuch'"),
        (WorkerBackend("ray"), "No module named 'ray'"),
        (WorkerBackend("local", {"scheduler_host": "x"}), "engine_options"),
    ],
)
def test_a_missing_backend_raises_one_line(root: Path, backend: WorkerBackend, message: str) -> None:
    with pytest.raises(InputError, match=r"images\.scan\.engine: .*" + message):
        scan(root, backend)


def test_dask_without_its_package_names_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs the package distributed; pip install 'goodbad_pipeline\[cluster\]'"):
        scan(root, WorkerBackend("dask"))


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
    spark = types.ModuleType("joblibspark")
    spark.register_spark = lambda: joblib.register_parallel_backend("spark", Confiding)
    monkeypatch.setitem(sys.modules, "joblibspark", spark)


def test_a_secret_option_reaches_the_backend_but_no_message(root: Path, confiding: None) -> None:
    options = hide_secrets({"token": {"secret": "open sesame"}})
    assert len(scan(root, WorkerBackend("spark", options)).images) == 150
    assert "open sesame" in Confiding.given
    with pytest.raises(InputError, match=r"tls://\*+@host") as caught:
        scan(root, WorkerBackend("spark", options | {"broken": True}))
    told = "".join(traceback.format_exception(caught.value))
    assert "open sesame" not in told
