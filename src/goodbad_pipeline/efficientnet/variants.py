"""The published networks, B0 to B7 and Lite0 to Lite4, as data. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("efficientnet", "efficientnet_lite")
BASE_RESOLUTION = 224


@dataclass(frozen=True)
class Variant:
    """One published network.

    Its coefficients were hand-picked near a φ and are no exact powers: no φ gives B1 to B7 to the pixel.

    Attributes:
        name: Short name, `b0` or `lite0`.
        family: One of `FAMILIES`.
        phi: The φ it is closest to.
        width: Channel multiplier w.
        depth: Layer multiplier d.
        resolution: Input side in pixels.
        dropout: Rate before the classifier, 0 to 1.
    """

    name: str
    family: str
    phi: float
    width: float
    depth: float
    resolution: int
    dropout: float


# Source: the reference code of the paper (tensorflow/tpu: efficientnet_builder.py, lite/efficientnet_lite_builder.py).
_TABLE = (
    Variant("b0", "efficientnet", 0.0, 1.0, 1.0, 224, 0.2),
    Variant("b1", "efficientnet", 0.5, 1.0, 1.1, 240, 0.2),
    Variant("b2", "efficientnet", 1.0, 1.1, 1.2, 260, 0.3),
    Variant("b3", "efficientnet", 2.0, 1.2, 1.4, 300, 0.3),
    Variant("b4", "efficientnet", 3.5, 1.4, 1.8, 380, 0.4),
    Variant("b5", "efficientnet", 5.0, 1.6, 2.2, 456, 0.4),
    Variant("b6", "efficientnet", 6.0, 1.8, 2.6, 528, 0.5),
    Variant("b7", "efficientnet", 7.0, 2.0, 3.1, 600, 0.5),
    Variant("lite0", "efficientnet_lite", 0.0, 1.0, 1.0, 224, 0.2),
    Variant("lite1", "efficientnet_lite", 0.5, 1.0, 1.1, 240, 0.2),
    Variant("lite2", "efficientnet_lite", 1.0, 1.1, 1.2, 260, 0.3),
    Variant("lite3", "efficientnet_lite", 2.0, 1.2, 1.4, 280, 0.3),
    Variant("lite4", "efficientnet_lite", 3.5, 1.4, 1.8, 300, 0.3),
)

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _TABLE}


def variants_of(family: str) -> tuple[Variant, ...]:
    """The published networks of one family, smallest first."""
    return tuple(variant for variant in _TABLE if variant.family == family)
