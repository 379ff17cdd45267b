import sys

import psutil
import pytest

from goodbad_pipeline.hooks.memory import MemoryHooks
from goodbad_pipeline.settings import HOOKS


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has malloc_trim")
def test_free_memory_is_returned_to_the_system_before_a_dataset_is_loaded() -> None:
    hook = next(hook for hook in HOOKS if isinstance(hook, MemoryHooks))
    blocks = [bytes([number % 251]) * 5000 for number in range(40_000)]
    last = blocks[-1]  # at the end of the heap, so that the memory before it is not returned by itself
    del blocks
    held = psutil.Process().memory_info().rss
    hook.before_dataset_loaded()
    assert psutil.Process().memory_info().rss < held - 100e6
    assert len(last) == 5000
