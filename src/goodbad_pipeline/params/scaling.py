"""Parameters of the scaling search and study."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from goodbad_pipeline.networks.grid import Candidate, list_candidates
from goodbad_pipeline.networks.scaling import MIN_RESOLUTION, NetworkScale, resolve_scale
from goodbad_pipeline.params.base import Count, Group, Positive, Seed
from goodbad_pipeline.training.recipe import Recipe

Axis = Annotated[list[Annotated[float, Field(ge=1)]], Field(min_length=1)]


class ScaledBaseParams(Group):
    """The network that is made larger."""

    family: Literal["efficientnet", "efficientnet_lite"]
    phi: float
    resolution: Annotated[int, Field(ge=MIN_RESOLUTION)]

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        _ = self.scale
        return self

    @property
    def scale(self) -> NetworkScale:
        """Its depth, width and resolution."""
        return resolve_scale(phi=self.phi, family=self.family, resolution=self.resolution)


class TrialParams(Group):
    """Networks that are trained for the same few epochs from several seeds."""

    base: ScaledBaseParams
    seeds: Annotated[list[Seed], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Positive

    def recipe(self, recipe: Recipe) -> Recipe:
        """``recipe`` with the trials' own epochs, batch size and rate."""
        return replace(
            recipe,
            scratch_epochs=self.epochs,
            batch_size=self.batch_size,
            scratch_learning_rate=self.learning_rate,
            ema=0.0,  # the last weights are measured
        )

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        return self


class ScalingSearchParams(TrialParams):
    """The grid of α, β and γ (paper, section 3.3, step 1)."""

    alpha: Axis
    beta: Axis
    gamma: Axis
    tolerance: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _has_candidates(self) -> Self:
        _ = self.candidates
        return self

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The points of the grid whose product is near enough to 2."""
        return list_candidates(self.base.scale, self.alpha, self.beta, self.gamma, self.tolerance)


class ScalingStudyParams(TrialParams):
    """One dimension against all three at equal cost (paper, Figure 8)."""

    dimensions: Annotated[list[Literal["depth", "width", "resolution", "compound"]], Field(min_length=1)]
    multiples: Annotated[list[Annotated[float, Field(gt=1, le=64)]], Field(min_length=1)]
