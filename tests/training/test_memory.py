import pytest

from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import resolve_scale
from goodbad_pipeline.training.devices import batch_that_fits, out_of_memory

B0 = resolve_scale(variant="b0")


class ResourceExhaustedError(Exception):
    """An error with TensorFlow's name."""


def fits(tried: int, memory: int | None, precision: str = "float32", **options: int) -> int | None:
    return batch_that_fits(B0, classes=2, precision=precision, tried=tried, memory_bytes=memory, **options)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ResourceExhaustedError("failed to allocate"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), True),
        (MemoryError(), True),
        (RuntimeError("a bug"), False),
    ],
)
def test_out_of_memory_errors_are_recognised(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) is expected


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_batch_is_the_largest_that_the_estimate_allows(precision: str) -> None:
    cost, memory = count_complexity(B0, 2), 8 * 10**9
    batch = fits(10_000, memory, precision)
    assert (
        cost.training_memory_bytes(batch, precision) <= 0.85 * memory < cost.training_memory_bytes(batch + 1, precision)
    )


def test_the_batch_is_at_most_half_of_the_one_tried() -> None:
    assert fits(8, 10**12) == 4
    assert fits(8, None) == 4
    assert fits(8, 1000) == 1
    assert fits(1, 10**12) is None


def test_the_batch_scales_with_devices_and_is_a_multiple_of_shards() -> None:
    alone = fits(10_000, 8 * 10**9)
    assert fits(10_000, 8 * 10**9, devices=4) == 4 * alone
    assert fits(26, 10**12, multiple=4) == 12
    assert fits(64, 1000, devices=2, multiple=4) == 4
    assert fits(6, None, multiple=4) is None
