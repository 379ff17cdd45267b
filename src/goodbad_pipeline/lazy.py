"""Imports on first use, for modules whose import takes long, such as those that import Keras or TensorFlow."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryFile
from typing import Any

# Without an NVIDIA driver, TensorFlow would log an error because it cannot initialise CUDA.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/proc/driver/nvidia") else "3")
_NOISE = (
    b"I0000 ",
    b"To enable the following instructions: ",
    b"WARNING: All log messages before absl::InitializeLog()",
)


class LazyModule:
    """Stands for a module, and imports the module when an attribute is read.

    Unlike a module of `importlib.util.LazyLoader`, this object is not in `sys.modules`. Dynaconf calls `inspect.stack`
    while reading settings.py, and `inspect.stack` would import every lazy module in `sys.modules`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if self._name in sys.modules:
            return getattr(sys.modules[self._name], attribute)
        with collecting_no_garbage(), without_noise():
            return getattr(import_module(self._name), attribute)


def load(name: str) -> Any:
    """Return an object that imports the module ``name`` when it is first used."""
    return LazyModule(name)


@contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """Save time: import modules without garbage collection, and exempt their objects from later collections."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without_noise() -> Iterator[None]:
    """Drop messages that TensorFlow's libraries write to stderr while they load; no environment variable drops them."""
    with TemporaryFile() as captured:
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            captured.seek(0)
            os.write(2, b"".join(line for line in captured if not line.startswith(_NOISE)))
