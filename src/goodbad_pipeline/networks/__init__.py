"""EfficientNet and EfficientNet-Lite: compound scaling by φ, weights and cost.

Keras is imported when `build_efficientnet` or `build_network` is first used.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from goodbad_pipeline.networks.model import build_efficientnet, build_network

__all__ = ["build_efficientnet", "build_network"]

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"model": __all__})
