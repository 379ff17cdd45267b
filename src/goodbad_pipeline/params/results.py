"""Parameters of what comes after training: how a model is measured, registered, promoted, asked and replayed."""

from typing import Annotated, Literal

from pydantic import Field

from goodbad_pipeline.evaluation.promotion import Policy, Rules
from goodbad_pipeline.params.base import Count, Fraction, Group, Positive, Seed
from goodbad_pipeline.serving.runtimes import Backend


class EvaluationParams(Group):
    """How the model is read and measured."""

    seed: Seed
    replicates: Annotated[int, Field(ge=200, le=100_000)]
    choose_threshold: bool
    abstain_at_error: Fraction | None
    sensitive: list[str]


class RegistryParams(Group):
    """Where the model is registered and what decides its alias."""

    name: Annotated[str, Field(pattern=r"^[^/:\s]([^/:\r\n]*[^/:\s])?$")]  # MLflow allows neither / nor :
    metric: Literal["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]


class PromotionParams(Group):
    """What a new model must meet to take the champion's place."""

    policy: Policy
    significance: Annotated[float, Field(gt=0, lt=1)]
    max_ece_rise: Fraction
    max_slice_drop: Fraction
    parity_tolerance: Positive

    @property
    def rules(self) -> Rules:
        """The same, as the decision takes it."""
        return Rules(**self.model_dump())


class PredictParams(Group):
    """Which files a registered model is asked about."""

    source: str | None
    version: str | int
    backend: Backend
    sheet: Annotated[int, Field(ge=1, le=200)]
    seed: Seed


class ExportParams(Group):
    """Which version is written for other runtimes, and how near they must come to it."""

    version: str | int
    calibration_images: Count
    seed: Seed
    tolerance: Positive
    int8_accuracy: Fraction
    rounds: Count


class ReplayParams(Group):
    """Which run is run again, and how near its metrics must come."""

    run_id: str | None
    tolerance: Annotated[float, Field(ge=0)]
    strict: bool


class TrackingParams(Group):
    """Whether MLflow is told at once."""

    offline: bool
