"""The schema of the parameters in conf/. A wrong name or value is reported before the run starts.

Each class describes a group of parameters. Most defaults are in the parameter files, not here.
"""

from goodbad_pipeline.params.base import Group
from goodbad_pipeline.params.data import ImageParams, SampleParams, SplitParams
from goodbad_pipeline.params.experiments import ScalingSearchParams, ScalingStudyParams, TrialParams, TuneParams
from goodbad_pipeline.params.results import (
    EvaluationParams,
    ExportParams,
    PredictParams,
    PromotionParams,
    RegistryParams,
    ReplayParams,
    ReviewParams,
    TrackingParams,
)
from goodbad_pipeline.params.training import CoefficientParams, ModelParams, TrainingParams
from goodbad_pipeline.params.validation import anchor_paths, decisive_parameters, rename_parameters, validate_parameters
