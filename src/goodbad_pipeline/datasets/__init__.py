"""Kedro datasets of this project: with atomic saves, or without an import of TensorFlow when the catalog is read.

Each module is imported when a dataset of it is first used; ``__init__.pyi`` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
