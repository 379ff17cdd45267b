"""Modules that are imported when they are first used: those that need Keras or TensorFlow, which take seconds."""

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module and imports it when an attribute is read.

    Unlike the stand-ins of `importlib.util.LazyLoader`, it is not in `sys.modules`. There `inspect.stack`, which
    Dynaconf calls while it reads settings.py, would import every one of them.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def load(name: str) -> Any:
    """Return a stand-in for the module of that name."""
    return LazyModule(name)
