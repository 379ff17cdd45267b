"""Compute width, depth and resolution of a network from φ or a published name (arXiv 1905.11946, section 3.3).

Only the standard library is imported, so that parameters can be checked without Keras.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

from goodbad_pipeline.errors import InputError

logger = logging.getLogger(__name__)

FAMILIES = ("efficientnet", "efficientnet_lite")
BASE_RESOLUTION = 224
MIN_RESOLUTION = 32
MIN_CHANNELS = 8
SMALLEST_STAGE = 16
STOCHASTIC_DEPTH = 0.2
MAX_FACTOR = 100.0  # a larger coefficient is surely a mistake, and listing the blocks would exhaust memory
_DIGITS = 9  # 25 * 1.12 is 28.000000000000004: without rounding, ceil would add a layer
MIN_DEPTH = 0.5 * 10.0**-_DIGITS  # with a smaller depth, stages would have no layer


@dataclass(frozen=True)
class Variant:
    """A published network.

    The authors chose width, depth and resolution by hand. φ = `phi` gives similar values, but no φ gives exactly the
    chosen values of B1 to B7.
    """

    name: str
    family: str
    phi: float
    width: float
    depth: float
    resolution: int
    dropout: float


# Source: the reference code of the paper (tensorflow/tpu: efficientnet_builder.py, lite/efficientnet_lite_builder.py).
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
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
}


@dataclass(frozen=True)
class Coefficients:
    """The bases α (depth), β (width) and γ (resolution) of equation 3, each from 1 to 100."""

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            if not 1 <= _number(name, getattr(self, name)) <= MAX_FACTOR:
                raise InputError(
                    f"{name} must be at least 1 and at most {MAX_FACTOR:g}; received {getattr(self, name)!r}. "
                    "The paper uses 1.2, 1.1, 1.15."
                )

    @property
    def product(self) -> float:
        """α·β²·γ², about 2 in the paper. Raising φ by 1 multiplies the operations by this factor."""
        return self.alpha * self.beta**2 * self.gamma**2

    @property
    def doubles(self) -> bool:
        """True if raising φ by 1 roughly doubles the operations: the product is within 10 % of 2."""
        return abs(self.product - 2) <= 0.2


@dataclass(frozen=True)
class NetworkScale:
    """The values that determine the layers of a network, except the number of classes."""

    family: str
    width: float  # channel multiplier w
    depth: float  # layer multiplier d
    resolution: int  # input side in pixels
    dropout: float  # rate before the classifier
    phi: float | None = None
    variant: str | None = None
    stochastic_depth: float = STOCHASTIC_DEPTH  # drop rates rise linearly from 0 (first block) towards this value

    @property
    def label(self) -> str:
        """The name to show: `B0`, `Lite0`, `φ = 0.5` or `Lite φ = 0.5`."""
        if self.variant:
            return self.variant.capitalize()
        return f"{'Lite ' if self.family == 'efficientnet_lite' else ''}φ = {self.phi:g}"


def resolve_scale(
    *,
    phi: float | None = None,
    variant: str | None = None,
    family: str = "efficientnet",
    coefficients: Coefficients | None = None,
    resolution: int | None = None,
    dropout: float | None = None,
    stochastic_depth: float = STOCHASTIC_DEPTH,
) -> NetworkScale:
    """Return the scale of a network from either φ or a published name.

    φ = 0 gives exactly B0 or Lite0, and a negative φ a smaller network. A variant, `b0` to `b7` or `lite0` to `lite4`,
    also determines the family. `coefficients` apply only to `phi`; None stands for the values of the paper.
    `resolution` (pixels, at least 32) and `dropout` (0 to below 1) replace the values from φ or the variant.

    Raises:
        InputError: A value is invalid, or the network would be too small or too large.
    """
    if (phi is None) == (variant is None):
        raise InputError(
            f"Exactly one of phi and variant must be set; received phi={phi!r}, variant={variant!r}. "
            "Set one of them and remove the other."
        )
    if family not in FAMILIES:
        raise InputError(f"family must be one of {', '.join(FAMILIES)}; received {family!r}.")
    if phi is None:
        found = _find_variant(str(variant), family)
        scale = NetworkScale(
            found.family, found.width, found.depth, found.resolution, found.dropout, variant=found.name
        )
    else:
        scale = _from_phi(_number("phi", phi), family, coefficients or Coefficients(), resolution)
    return replace(
        scale,
        resolution=scale.resolution if resolution is None else _resolution(resolution),
        dropout=scale.dropout if dropout is None else _rate("dropout", dropout),
        stochastic_depth=_rate("stochastic_depth", stochastic_depth),
    )


def read_scale(record: Mapping[str, Any]) -> NetworkScale:
    """Return the scale from a dictionary that `dataclasses.asdict` made. Additional keys are ignored."""
    names = [field.name for field in fields(NetworkScale)]
    if missing := [name for name in names if name not in record]:
        raise InputError(f"network: the stored record lacks {missing[0]}; run the node choose_network again.")
    return NetworkScale(**{name: record[name] for name in names})


def warn_of_product(coefficients: Coefficients) -> None:
    """Log a warning if α·β²·γ² differs by more than 10 % from 2, the value that the paper requires."""
    if not coefficients.doubles:
        logger.warning(
            "Raising φ by 1 multiplies the operations by α·β²·γ² = %.3f instead of about 2, because α=%g, β=%g, γ=%g "
            "(in the paper: 1.2, 1.1, 1.15)",
            *(coefficients.product, coefficients.alpha, coefficients.beta, coefficients.gamma),
        )


def variants_of(family: str) -> tuple[Variant, ...]:
    """Return the published networks of a family, smallest first."""
    return tuple(variant for variant in VARIANTS.values() if variant.family == family)


def round_filters(filters: int, width: float) -> int:
    """Scale the number of channels and round it as the reference code of the paper does.

    The result is the nearest multiple of 8, at least 8. If the nearest multiple is less than 90 % of the exact value,
    the result is the next larger multiple.
    """
    scaled = round(filters * width, _DIGITS)
    rounded = max(MIN_CHANNELS, int(scaled + MIN_CHANNELS / 2) // MIN_CHANNELS * MIN_CHANNELS)
    return rounded if rounded >= 0.9 * scaled else rounded + MIN_CHANNELS


def round_repeats(repeats: int, depth: float) -> int:
    """Scale the number of layers in a stage and round it up, as the reference code of the paper does."""
    return math.ceil(round(repeats * depth, _DIGITS))


def round_resolution(factor: float) -> int:
    """Scale the resolution of 224 pixels and round it to whole pixels."""
    return round(round(BASE_RESOLUTION * factor, _DIGITS))


def dropout_of(phi: float, family: str) -> float:
    """Return the dropout rate before the classifier for φ.

    In the standard family the rate rises linearly from 0.2 at φ = 0 to 0.5 at φ = 7 (section 5.2). Below and above, the
    rate is constant. The lite family has the two published values: 0.2 for networks smaller than Lite2, else 0.3.
    """
    if family == "efficientnet_lite":
        return 0.2 if phi < VARIANTS["lite2"].phi else 0.3
    return min(0.5, max(0.2, 0.2 + 0.3 * phi / 7))


def power(name: str, base: float, phi: float) -> float:
    """Return a coefficient to the power of φ; raise InputError if the result is above 100."""
    if phi * math.log(base) > math.log(MAX_FACTOR):
        raise InputError(
            f"phi must keep {name}**phi within {MAX_FACTOR:g}; received phi={phi:g}, {name}={base:g}. "
            "Use a smaller phi."
        )
    return float(base**phi)


def _find_variant(name: str, family: str) -> Variant:
    variant = VARIANTS.get(name.lower())
    if variant is None:
        raise InputError(f"variant must be one of {', '.join(VARIANTS)}; received {name!r}.")
    if family == "efficientnet_lite" != variant.family:
        raise InputError(f"variant {name!r} is of family {variant.family}; received family={family!r}. Remove family.")
    return variant


def _from_phi(phi: float, family: str, coefficients: Coefficients, resolution: int | None) -> NetworkScale:
    depth = power("alpha", coefficients.alpha, phi)
    width = power("beta", coefficients.beta, phi)
    if SMALLEST_STAGE * width < MIN_CHANNELS:
        raise InputError(
            f"phi must leave at least {MIN_CHANNELS} channels in every stage; at phi={phi:g} the smallest stage has "
            f"{SMALLEST_STAGE * width:.1f} channels. Use a larger phi."
        )
    if round_repeats(1, depth) < 1:
        raise InputError(
            f"phi must leave at least one layer in every stage; phi={phi:g} with alpha={coefficients.alpha:g} "
            f"multiplies depth by {depth:.3g}. Use a larger phi or a smaller alpha."
        )
    side = round_resolution(power("gamma", coefficients.gamma, phi))
    if resolution is None and side < MIN_RESOLUTION:
        raise InputError(
            f"phi must give a resolution of at least {MIN_RESOLUTION} pixels; phi={phi:g} gives {side}. "
            "Use a larger phi or set resolution."
        )
    return NetworkScale(family, width, depth, side, dropout_of(phi, family), phi=phi)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number; received {value!r}.")
    return float(value)


def _rate(name: str, value: object) -> float:
    if not 0 <= _number(name, value) < 1:
        raise InputError(f"{name} must be at least 0 and below 1; received {value!r}.")
    return _number(name, value)


def _resolution(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < MIN_RESOLUTION:
        raise InputError(f"resolution must be a whole number of pixels, at least {MIN_RESOLUTION}; received {value!r}.")
    return value
