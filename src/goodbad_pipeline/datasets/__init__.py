"""Kedro datasets of our own: what Kedro's collection has not, or imports TensorFlow for too early.

Like Kedro's, they are imported when they are first asked for; ``__init__.pyi`` says from where.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
