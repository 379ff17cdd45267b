"""The parameter groups of conf/, typed: a wrong name or value ends the run before anything starts.

Each class is one top-level key of the parameters files; defaults live there, not here.
"""

from goodbad_pipeline.params.base import Group
from goodbad_pipeline.params.checking import anchor_paths, decisive_parameters, validate_parameters
from goodbad_pipeline.params.data import ImageParams, SampleParams, SplitParams
from goodbad_pipeline.params.network import ModelParams
from goodbad_pipeline.params.results import (
    EvaluationParams,
    ExportParams,
    PredictParams,
    PromotionParams,
    RegistryParams,
    ReplayParams,
    TrackingParams,
)
from goodbad_pipeline.params.scaling import ScalingSearchParams, ScalingStudyParams, TrialParams
from goodbad_pipeline.params.training import TrainingParams
from goodbad_pipeline.params.tuning import TuneParams

__all__ = [
    "EvaluationParams",
    "ExportParams",
    "Group",
    "ImageParams",
    "ModelParams",
    "PredictParams",
    "PromotionParams",
    "RegistryParams",
    "ReplayParams",
    "SampleParams",
    "ScalingSearchParams",
    "ScalingStudyParams",
    "SplitParams",
    "TrackingParams",
    "TrainingParams",
    "TrialParams",
    "TuneParams",
    "anchor_paths",
    "decisive_parameters",
    "validate_parameters",
]
