"""Figures of a run: Matplotlib `Figure` objects, 1000 pixels wide, and Plotly charts, drawn without global state.

Names are imported on first use, because many commands draw nothing; ``__init__.pyi`` maps each name to its module.
A module that annotates with ``figures.Figure`` needs ``from __future__ import annotations`` to delay the import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
