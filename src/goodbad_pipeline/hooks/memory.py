"""Hook that returns free memory to the operating system between nodes."""

import ctypes
import sys

from kedro.framework.hooks import hook_impl


class MemoryHooks:
    """Trims the heap, because the C allocator does not return the memory of large tables that were deleted."""

    @hook_impl
    def before_dataset_loaded(self) -> None:
        """Return free memory to the operating system."""
        if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
