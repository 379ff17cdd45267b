"""The harness of the benchmarks, without measurements."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bench_kit
import pytest
from benchmarks import FILES, workers
from benchmarks.harness import Benchmark, Ratio, Sample, group_by_reference, measure, median_interval, summarise
from benchmarks.results import read, record, row, write
from hypothesis import given
from hypothesis import strategies as st


def _benchmark(**changes) -> Benchmark:
    values = {
        "file": __name__,
        "name": "echo",
        "compares": "one / other",
        "project": None,
        "reference": None,
        "target": 1.3,
    }
    return Benchmark(**{**values, **changes})


class _Clock:
    """Fake workers: samples have scripted times and record their order."""

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self._seconds, self.turns, self.open = seconds, [], 0

    def __call__(self, benchmark, side, _folder):
        clock, count = self, self.turns.count
        side = side if side == "reference" else benchmark.name

        class Worker:
            def sample(self) -> Sample:
                seconds = clock._seconds[side][count(side) % len(clock._seconds[side])]
                clock.turns.append(side)
                return Sample(seconds, 2 * seconds, 10 * seconds)

            def __enter__(self):
                clock.open += 1
                return self

            def __exit__(self, *_):
                clock.open -= 1

        return Worker()


def test_pairs_alternate_after_the_reference_against_itself():
    clock = _Clock({"echo": [1.0], "reference": [2.0]})
    (ratio,) = measure([_benchmark()], clock, pairs=4)
    assert clock.turns[:8] == ["reference"] * 8
    assert clock.turns[8:] == ["echo", "reference", "reference", "echo"] * 2
    assert (ratio.median, ratio.cpu, ratio.same, ratio.pairs) == (2.0, 2.0, 1.0, 4)
    assert clock.open == 0


def test_benchmarks_share_the_runs_of_a_common_reference():
    clock = _Clock({"echo": [1.0], "fast": [0.5], "reference": [2.0]})
    group = [_benchmark(), _benchmark(name="fast")]
    assert [ratio.median for ratio in measure(group, clock, pairs=2)] == [2.0, 4.0]
    assert clock.turns == ["reference"] * 4 + ["echo", "fast", "reference", "reference", "fast", "echo"]


def test_benchmarks_are_grouped_by_reference():
    other, first, second = bench_kit.BENCHMARKS[0], _benchmark(), _benchmark(name="second")
    assert group_by_reference([other, first, second]) == [[other], [first, second]]


def test_one_disturbed_pair_does_not_change_the_median():
    samples = [(Sample(1, 1, 1), Sample(seconds, 1, 1)) for seconds in (2, 2, 2, 50, 2, 2, 2)]
    assert summarise(_benchmark(), samples, samples).median == 2


def test_cost_is_project_divided_by_reference():
    samples = [(Sample(9, 9, 300), Sample(1, 1, 400))] * 7
    ratio = summarise(_benchmark(quantity="bytes", higher=False), samples, samples)
    assert (ratio.median, ratio.project, ratio.reference) == (0.75, 300, 400)


def test_difference_is_project_minus_reference():
    samples = [(Sample(9, 20, 1), Sample(10, 16, 1))] * 3
    ratio = summarise(_benchmark(difference=True, target=2.0), samples, [(Sample(6, 5, 5), Sample(5, 5, 5))])
    assert (ratio.median, ratio.low, ratio.high, ratio.cpu, ratio.same) == (-1, -1, -1, 4, 1)
    entry = record(_benchmark(difference=True, target=2.0), ratio)
    assert entry["met"] is True
    assert "| -1.00 s | -1.00 – -1.00 s, 3 pairs | 4.00 s | ≤ 2 s | yes | 1.00 s |" in row(entry)


def test_difference_counts_only_if_noise_is_below_the_target():
    samples = [(Sample(101, 1, 1), Sample(100, 1, 1))] * 3
    same = [(Sample(104, 1, 1), Sample(100, 1, 1))] * 3  # 4 % would be steady for a ratio
    benchmark = _benchmark(difference=True, target=2.0)
    assert record(benchmark, summarise(benchmark, samples, same))["met"] is None


def test_cpu_seconds_of_the_reference_are_scaled_by_its_share():
    samples = [(Sample(1, 2, 1), Sample(1, 1, 1))] * 3  # one of two cores, half of the work
    ratio = summarise(_benchmark(reference_share=0.5), samples, samples)
    assert (ratio.median, ratio.cpu) == (1, 1)


def test_number_of_pairs_defaults_to_the_benchmark():
    clock = _Clock({"echo": [1.0], "reference": [2.0]})
    assert measure([_benchmark(pairs=3)], clock)[0].pairs == 3
    assert measure([_benchmark(pairs=3)], clock, pairs=4)[0].pairs == 4


@pytest.mark.parametrize(("count", "skipped"), [(5, 0), (7, 0), (8, 0), (9, 1), (15, 3), (25, 7)])
def test_interval_is_that_of_the_sign_test(count, skipped):
    """Expected values are the tables of the sign test at 95 %."""
    assert median_interval(list(range(count))) == (skipped, count - 1 - skipped)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_interval_contains_the_median(values):
    low, high = median_interval(values)
    assert low <= sorted(values)[len(values) // 2] <= high


def _ratio(median: float) -> Ratio:
    low, high = median - 0.1, median + 0.1
    return Ratio(median, low, high, cpu=median, same=1.0, steady=True, project=1.0, reference=median, pairs=7)


@pytest.mark.parametrize(
    ("higher", "median", "same", "met"),
    [
        (True, 1.31, 1.0, True),
        (True, 1.29, 1.0, False),
        (False, 1.29, 1.0, True),
        (False, 1.31, 1.0, False),
        (True, 1.31, 1.06, None),
        (True, 1.31, 0.94, None),
    ],
)
def test_target_is_met_only_on_a_steady_machine(higher, median, same, met):
    benchmark, one = _benchmark(higher=higher), Sample(1, 1, 1)
    slower = [replace(one, seconds=seconds) for seconds in (median, same)]
    samples, again = ([(one, other) if higher else (other, one)] * 3 for other in slower)
    assert record(benchmark, summarise(benchmark, samples, again))["met"] is met


def test_met_is_none_without_a_target():
    entry = record(_benchmark(target=None), _ratio(1.0))
    assert entry["met"] is None
    assert "unsteady" not in row(entry)


def test_results_are_stored_by_name_and_the_rest_of_the_page_is_unchanged(tmp_path):
    file, page = tmp_path / "results.json", tmp_path / "results.md"
    write({"echo": record(_benchmark(), _ratio(1.5))}, file, page)
    page.write_text(f"# Before\n\n{page.read_text()}\nAfter\n")
    entries = {**read(file), "other": record(_benchmark(name="other", compares="a / b"), _ratio(0.9))}
    write(entries, file, page)
    text = page.read_text()
    assert text.startswith("# Before")
    assert text.endswith("After\n")
    assert "| one / other | 1.50 | 1.40 – 1.60, 7 pairs | 1.50 | ≥ 1.3 | yes | 1.00 |" in text
    assert text.count("| a / b |") == 1
    stored = json.loads(file.read_text())
    assert [entry["name"] for entry in stored] == ["echo", "other"]
    assert {"name", "ratio", "low", "high", "target", "met"} <= set(stored[0])


@pytest.mark.parametrize(("name", "processes"), [("kept", 1), ("fresh", 3)])
def test_arm_runs_warmed_up_in_its_own_process(name, processes, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    benchmark = next(one for one in bench_kit.BENCHMARKS if one.name == name)
    with workers.start(benchmark, "project", tmp_path) as worker:
        samples = [worker.sample() for _ in range(3)]
    processes_of_runs = (tmp_path / "project").read_text().split()
    assert len(set(processes_of_runs)) == processes
    assert len(processes_of_runs) == 3 + processes  # the first run of each does not count
    assert str(os.getpid()) not in processes_of_runs
    assert all(sample.seconds > 0 and sample.bytes > 1e6 for sample in samples)


def test_arm_without_warm_up_runs_only_for_samples(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    benchmark = next(one for one in bench_kit.BENCHMARKS if one.name == "cold")
    with workers.start(benchmark, "project", tmp_path) as worker:
        worker.sample()
    assert len((tmp_path / "project").read_text().split()) == 1


def test_every_module_with_benchmarks_is_listed_once():
    folder = Path(workers.__file__).parent
    with_benchmarks = {file.stem for file in folder.glob("*.py") if "\nBENCHMARKS = " in file.read_text()}
    assert set(FILES) == with_benchmarks
    assert len(FILES) == len(with_benchmarks)


@pytest.mark.long
def test_epoch_arm_of_the_project_runs(tmp_path):
    code = (
        "import sys; from pathlib import Path; from benchmarks import epoch\n"
        "epoch.SIDE, epoch.BATCH, epoch.TRAIN, epoch.VALIDATION, epoch.EPOCHS = 32, 4, 8, 4, 1\n"
        "epoch._project(Path(sys.argv[1]), augmented=True)()\n"
    )
    # Another test of this process may have called mlflow.set_experiment, which sets an environment variable.
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_EXPERIMENT_ID"}
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("checkpoints/*/0*"))) == 1
