"""φ → Keras model: compound scaling, the two families, their weights and what they cost.

Only `build_efficientnet` and `build_network` need Keras, and it is imported when one of them is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodbad_pipeline.networks.model import build_efficientnet, build_network

__all__ = ["build_efficientnet", "build_network"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from goodbad_pipeline.networks import model  # noqa: PLC0415 - Keras takes seconds to start

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
