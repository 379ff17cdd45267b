"""Parameters of the network: φ, a variant or a budget, and what its weights start from."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import layer_shape
from goodbad_pipeline.networks.budget import Budget, BudgetResult, Probe, Step, choose_phi
from goodbad_pipeline.networks.net2net_source import (
    GrowthSource,
    check_growth,
    check_growth_source,
    parse_growth_source,
    source_shape,
)
from goodbad_pipeline.networks.pretrained import IMAGENET, check_weights, check_weights_file, check_weights_fit
from goodbad_pipeline.networks.scaling import Coefficients, NetworkScale, resolve_scale
from goodbad_pipeline.params.base import Count, Fraction, Group, Positive

WEIGHT_WORDS = ("auto", "none", "imagenet")


class CoefficientParams(Group):
    """α, β and γ of the compound scaling (paper, Equation 3)."""

    alpha: Annotated[float, Field(ge=1)]
    beta: Annotated[float, Field(ge=1)]
    gamma: Annotated[float, Field(ge=1)]

    @property
    def constants(self) -> Coefficients:
        """The three as one value."""
        return Coefficients(**self.model_dump())


class BudgetParams(Group):
    """What the network may cost; a limit that is left out is none."""

    max_macs: Positive | None = None
    max_parameters: Positive | None = None
    max_memory_gb: Positive | None = None
    max_ms_per_image: Positive | None = None
    batch_size: Count | None = None

    @property
    def limits(self) -> Budget:
        """The limits without the batch size."""
        return Budget(**self.model_dump(exclude={"batch_size"}))


class ModelParams(Group):
    """The network: family and φ, a published variant or a budget, and what its weights start from."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float | None
    variant: str | None
    budget: BudgetParams | None
    coefficients: CoefficientParams
    resolution: int | None
    weights: str | None
    grow_from: int | str | None
    dropout: Fraction | None

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        if self.budget is None:
            check_weights(self.weights_for(self.scale), self.scale)
            check_weights_fit(self.weights_for(self.scale), self.scale, classes=None)
        else:
            self._check_budget(self.budget)
        if self.growth_source is not None:
            self._check_growth(self.growth_source)
        return self

    def _check_budget(self, budget: BudgetParams) -> None:
        if self.phi is not None or self.variant is not None:
            raise InputError(
                "budget chooses phi itself: phi and variant must be null beside it; "
                f"received phi={self.phi!r}, variant={self.variant!r}."
            )
        if self.weights not in (None, *WEIGHT_WORDS):
            check_weights_file(Path(self.weights))
        self.spend_least(1, "auto")

    def spend_least(self, batch_size: int, precision: str) -> None:
        """Spend the budget as if there were two classes, and where it is not known, half precision; and on no time.

        Raises:
            InputError: Not even so does the smallest network fit.
        """
        assert self.budget is not None
        least = "mixed_float16" if precision == "auto" else precision
        self.spend(Step(2, self.budget.batch_size or batch_size, least), probe=lambda _: 0.0)

    def _check_growth(self, source: GrowthSource) -> None:
        if self.weights not in (None, "none", "auto"):
            raise InputError(
                f"weights must be auto or none beside grow_from, which brings its own; received {self.weights!r}."
            )
        family = self.family if self.budget else self.scale.family
        check_growth_source(source, family)
        shape = source_shape(source, family)
        if shape is not None and self.budget is None:  # of what a budget buys, choose_network asks the same
            check_growth(shape, layer_shape(self.scale))

    @property
    def scale(self) -> NetworkScale:
        """Depth, width and resolution that these parameters stand for; under a budget the run alone knows them."""
        return resolve_scale(
            phi=self.phi,
            variant=self.variant,
            family=self.family if self.variant is None else "efficientnet",  # a variant brings its own
            coefficients=self.coefficients.constants,
            resolution=self.resolution,
            dropout=self.dropout,
            quiet=True,  # parameters are read many times a run; CheckHooks warns once
        )

    @property
    def product(self) -> float:
        """α·β²·γ², the factor by which one step of φ multiplies the operations."""
        return self.coefficients.constants.product

    @property
    def label(self) -> str:
        """Family and size, to name a run by."""
        size = self.variant if self.phi is None else f"φ={self.phi:g}"
        return f"{self.family if self.budget else self.scale.family} {'budget' if self.budget else size}"

    def spend(self, step: Step, probe: Probe) -> BudgetResult | None:
        """The largest network that the budget allows; None where there is no budget."""
        if self.budget is None:
            return None
        return choose_phi(
            self.budget.limits,
            family=self.family,
            coefficients=self.coefficients.constants,
            resolution=self.resolution,
            dropout=self.dropout,
            step=step,
            probe=probe,
        )

    @property
    def growth_source(self) -> GrowthSource | None:
        """The network that is made larger, or None."""
        return None if self.grow_from is None else parse_growth_source(self.grow_from)

    def weights_for(self, scale: NetworkScale) -> str | None:
        """What ``build_network`` takes as weights: None, ``imagenet`` or a path; ``auto`` is decided here."""
        if self.grow_from is not None:
            return None
        if self.weights == "auto":
            return IMAGENET if self.why_no_weights(scale) is None else None
        return None if self.weights in (None, "none") else self.weights

    def why_no_weights(self, scale: NetworkScale) -> str | None:
        """Why ``auto`` starts from scratch: what keeps ImageNet weights from being had; None where nothing does."""
        try:
            check_weights(IMAGENET, scale)
        except InputError as reason:
            return str(reason)
        return None
