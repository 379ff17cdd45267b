"""Figures of a run: free-standing Matplotlib `Figure` objects, 1000 pixels wide, and Plotly charts; no global state.

They are imported when they are first asked for, since many commands draw nothing; ``__init__.pyi`` says from where. For
nodes to name ``figures.Figure``, their annotations are read late (``from __future__ import annotations``).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
