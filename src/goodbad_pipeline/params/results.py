"""Parameters of evaluation, registry, promotion, prediction, export, replay, review and tracking."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from goodbad_pipeline.evaluation.promotion import Policy, Rules
from goodbad_pipeline.params.base import Count, Fraction, Group, Positive, Seed
from goodbad_pipeline.serving.runtimes import Backend


class EvaluationParams(Group):
    """Settings of the evaluation."""

    seed: Seed
    replicates: Annotated[int, Field(ge=200, le=100_000)]
    choose_threshold: bool
    abstain_at_error: Fraction | None
    sensitive: list[str]


class RegistryParams(Group):
    """Name of the registered model, and the metric by which versions are compared for promotion."""

    name: str
    metric: Literal["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"]

    @field_validator("name")
    @classmethod
    def _fits_mlflow(cls, name: str) -> str:
        if not name or name != name.strip() or set(name) & set("/:\r\n"):
            raise ValueError("must be one line without / and : and without white space at its ends, for example pets")
        return name


class PromotionParams(Group):
    """Conditions for a new model to become champion."""

    policy: Policy
    significance: Annotated[float, Field(gt=0, lt=1)]
    max_ece_rise: Fraction
    max_slice_drop: Fraction
    parity_tolerance: Positive

    @property
    def rules(self) -> Rules:
        """The rules by which promotion is decided."""
        return Rules(**self.model_dump())


class PredictParams(Group):
    """Files to predict, and the registered version that makes the predictions."""

    source: str | list[str] | None
    version: str | int
    backend: Backend
    engine: Annotated[str, Field(min_length=1)] = "local"  # runs recorded without this parameter
    engine_options: dict[str, Any] = Field(default_factory=dict)  # the same
    sheet: Annotated[int, Field(ge=1, le=200)]
    seed: Seed


class ExportParams(Group):
    """The version to export, and by how much predictions of other runtimes may differ from Keras."""

    version: str | int
    calibration_images: Count
    seed: Seed
    tolerance: Positive
    int8_accuracy: Fraction
    rounds: Count


class ReplayParams(Group):
    """The run to repeat, and by how much the metrics of the repetition may differ."""

    run_id: str | None
    tolerance: Annotated[float, Field(ge=0)]
    strict: bool


class ReviewLimits(Group):
    """Limits of the measures by which an image needs a look."""

    outlier: Fraction
    dark: Fraction
    overexposed: Fraction
    blurred: Fraction
    uniform: Fraction
    odd_size: Annotated[float, Field(gt=1)]
    odd_aspect_ratio: Annotated[float, Field(gt=1)]


class ReviewParams(Group):
    """Which labels are reviewed, and when an image needs a look."""

    include_test: bool
    folds: Annotated[int, Field(ge=2)]
    neighbours: Count
    planted: Annotated[float, Field(gt=0, le=0.5)]
    least_probability: Fraction
    limits: ReviewLimits
    seed: Seed


class TrackingParams(Group):
    """Settings of MLflow. If ``offline`` is true, runs are stored locally and sent later."""

    offline: bool
