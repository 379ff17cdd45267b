"""Kedro datasets of this project. They save atomically, and reading the catalog does not import TensorFlow.

Each module is imported when one of its datasets is first used; ``__init__.pyi`` lists all datasets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
