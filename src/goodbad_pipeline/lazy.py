"""Imports on first use, for modules whose import takes long, such as those that import Keras or TensorFlow."""

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module, which it imports when an attribute is read.

    Unlike a module of `importlib.util.LazyLoader`, it is not in `sys.modules`. Dynaconf calls `inspect.stack` while it
    reads settings.py, and `inspect.stack` would import every lazy module in `sys.modules`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def load(name: str) -> Any:
    """Return an object that imports the module ``name`` when it is first used."""
    return LazyModule(name)
