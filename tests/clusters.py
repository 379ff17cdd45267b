"""Clusters of two worker processes on this machine, as joblib backends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CLUSTERS = [
    pytest.param("dask", marks=pytest.mark.long),
    pytest.param("ray", marks=pytest.mark.slow),
    pytest.param("spark", marks=pytest.mark.slow),
]


@contextmanager
def cluster(name: str) -> Iterator[dict[str, Any]]:
    """Start a cluster and yield the options of its joblib backend; skip the test if a package is missing."""
    if name == "dask":
        distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started:
            yield {"scheduler_host": started.scheduler_address}
    elif name == "ray":
        ray = pytest.importorskip("ray", reason="needs the extra ray")
        ray.init(num_cpus=2, include_dashboard=False)
        yield {}
        ray.shutdown()
    else:
        pytest.importorskip("joblibspark", reason="needs the extra spark")
        with spark_session():
            yield {}


@contextmanager
def spark_session() -> Iterator[Any]:
    """Start Spark on this machine; skip the test if it is not installed."""
    sql = pytest.importorskip("pyspark.sql", reason="needs the extra spark")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = sql.SparkSession.builder.master("local[2]").getOrCreate()
    yield session
    session.stop()
