"""From one number φ, or a published name, to width, depth and resolution of a network (arXiv 1905.11946, section 3.3).

Standard library only, so that a network can be checked without starting Keras.
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
MAX_FACTOR = 100.0  # for each coefficient; a larger one is a typing error, and would exhaust memory before any check
_PRODUCT_TOLERANCE = 0.2
_DIGITS = 9  # 25 * 1.12 is 28.000000000000004: without rounding, ceil would add a layer
MIN_DEPTH = 0.5 * 10.0**-_DIGITS  # a smaller depth rounds to no layer at all


@dataclass(frozen=True)
class Variant:
    """A published network.

    Its coefficients were hand-picked near the φ given here and are no exact powers: no φ gives B1 to B7 to the pixel.
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


@dataclass(frozen=True)
class Coefficients:
    """The bases of depth (α), width (β) and resolution (γ) in equation 3, each 1 to 100, found by a grid search."""

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
        """α·β²·γ², by which one step of φ multiplies the operations; about 2 in the paper."""
        return self.alpha * self.beta**2 * self.gamma**2

    @property
    def doubles(self) -> bool:
        """Whether one step of φ about doubles the operations: the product is within 10 % of 2."""
        return abs(self.product - 2) <= _PRODUCT_TOLERANCE


@dataclass(frozen=True)
class NetworkScale:
    """The size of a network, on which all of its shape depends."""

    family: str
    width: float  # channel multiplier w
    depth: float  # layer multiplier d
    resolution: int  # input side in pixels
    dropout: float  # rate before the classifier
    phi: float | None = None
    variant: str | None = None
    stochastic_depth: float = STOCHASTIC_DEPTH  # drop rate of the last block; it rises linearly from 0 at the first

    @property
    def label(self) -> str:
        """A name to show: `B0`, `Lite0`, `φ = 0.5` or `Lite φ = 0.5`."""
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
    quiet: bool = False,
) -> NetworkScale:
    """Return the scale of a network, from either φ or a published name.

    φ = 0 is exactly B0 or Lite0; negative values are smaller. A variant, `b0` to `b7` or `lite0` to `lite4`, sets the
    family too. `coefficients` apply to `phi` only; None stands for the paper's. `resolution` (pixels, at least 32) and
    `dropout` (0 to below 1) replace those of φ or the variant. `quiet` omits the warning that α·β²·γ² is far from 2.

    Raises:
        InputError: A value is invalid, or the network would be too small or too large.
    """
    if (phi is None) == (variant is None):
        raise InputError(
            f"Exactly one of phi and variant must be set; received phi={phi!r}, variant={variant!r}. Remove one."
        )
    if family not in FAMILIES:
        raise InputError(f"family must be one of {', '.join(FAMILIES)}; received {family!r}.")
    if phi is None:
        scale = _from_variant(_find_variant(str(variant), family))
    else:
        coefficients = coefficients or Coefficients()
        scale = _from_phi(_number("phi", phi), family, coefficients, resolution)
        if not quiet:
            warn_of_product(coefficients)
    return replace(
        scale,
        resolution=scale.resolution if resolution is None else _resolution(resolution),
        dropout=scale.dropout if dropout is None else _rate("dropout", dropout),
        stochastic_depth=_rate("stochastic_depth", stochastic_depth),
    )


def read_scale(record: Mapping[str, Any]) -> NetworkScale:
    """Return the scale from a record with its fields, as `dataclasses.asdict` writes them; other keys are ignored."""
    names = [field.name for field in fields(NetworkScale)]
    if missing := [name for name in names if name not in record]:
        raise InputError(f"network: the stored record lacks {missing[0]}; run the node choose_network again.")
    return NetworkScale(**{name: record[name] for name in names})


def warn_of_product(coefficients: Coefficients) -> None:
    """Log a warning if α·β²·γ² is more than 10 % from 2, the paper's condition."""
    if not coefficients.doubles:
        logger.warning(
            "α·β²·γ² is %.3f with α=%g, β=%g, γ=%g: more than 10%% from 2 (the paper uses 1.2, 1.1, 1.15)",
            *(coefficients.product, coefficients.alpha, coefficients.beta, coefficients.gamma),
        )


def variants_of(family: str) -> tuple[Variant, ...]:
    """Return the published networks of a family, smallest first."""
    return tuple(variant for variant in _TABLE if variant.family == family)


def round_filters(filters: int, width: float) -> int:
    """Scale channels to the nearest multiple of 8 above 0, never below 90 % (reference code of the paper)."""
    scaled = round(filters * width, _DIGITS)
    rounded = max(MIN_CHANNELS, int(scaled + MIN_CHANNELS / 2) // MIN_CHANNELS * MIN_CHANNELS)
    return rounded if rounded >= 0.9 * scaled else rounded + MIN_CHANNELS


def round_repeats(repeats: int, depth: float) -> int:
    """Scale the number of layers of a stage, rounded up (reference code of the paper)."""
    return math.ceil(round(repeats * depth, _DIGITS))


def round_resolution(factor: float) -> int:
    """Scale the input side of 224 pixels, to the nearest pixel."""
    return round(round(BASE_RESOLUTION * factor, _DIGITS))


def dropout_of(phi: float, family: str) -> float:
    """Return the dropout rate before the classifier for φ.

    The standard family rises linearly from 0.2 at φ = 0 to 0.5 at φ = 7 (section 5.2) and is constant outside. The
    lite family has two levels, as published: 0.2 below Lite2 (φ = 1), 0.3 from there.
    """
    if family == "efficientnet_lite":
        return 0.2 if phi < VARIANTS["lite2"].phi else 0.3
    return min(0.5, max(0.2, 0.2 + 0.3 * phi / 7))


def power(name: str, base: float, phi: float) -> float:
    """Return a coefficient to the power of φ; raise InputError above 100."""
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


def _from_variant(variant: Variant) -> NetworkScale:
    return NetworkScale(
        family=variant.family,
        width=variant.width,
        depth=variant.depth,
        resolution=variant.resolution,
        dropout=variant.dropout,
        variant=variant.name,
    )


def _from_phi(phi: float, family: str, coefficients: Coefficients, resolution: int | None) -> NetworkScale:
    depth = power("alpha", coefficients.alpha, phi)
    width = power("beta", coefficients.beta, phi)
    if SMALLEST_STAGE * width < MIN_CHANNELS:
        raise InputError(
            f"phi must leave every stage {MIN_CHANNELS} channels; at phi={phi:g} the smallest has "
            f"{SMALLEST_STAGE * width:.1f}. Use a larger phi."
        )
    if round_repeats(1, depth) < 1:
        raise InputError(
            f"phi must leave every stage a layer; phi={phi:g} with alpha={coefficients.alpha:g} multiplies depth by "
            f"{depth:.3g}. Use a larger phi or a smaller alpha."
        )
    side = round_resolution(power("gamma", coefficients.gamma, phi))
    if resolution is None and side < MIN_RESOLUTION:
        raise InputError(
            f"phi must leave {MIN_RESOLUTION} pixels; phi={phi:g} gives {side}. Use a larger phi or set resolution."
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
