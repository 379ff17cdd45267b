"""Checks of all parameter groups together, before a run starts."""

import logging
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params.base import Group
from goodbad_pipeline.params.data import ImageParams, SampleParams, SplitParams
from goodbad_pipeline.params.experiments import ScalingSearchParams, ScalingStudyParams, TuneParams
from goodbad_pipeline.params.results import (
    EvaluationParams,
    ExportParams,
    PredictParams,
    PromotionParams,
    RegistryParams,
    ReplayParams,
    TrackingParams,
)
from goodbad_pipeline.params.training import WEIGHT_WORDS, ModelParams, TrainingParams

logger = logging.getLogger(__name__)

GROUPS: dict[str, type[Group]] = {
    "sample": SampleParams,
    "images": ImageParams,
    "splits": SplitParams,
    "model": ModelParams,
    "training": TrainingParams,
    "evaluation": EvaluationParams,
    "registry": RegistryParams,
    "predict": PredictParams,
    "export": ExportParams,
    "replay": ReplayParams,
    "promotion": PromotionParams,
    "scaling_search": ScalingSearchParams,
    "scaling_study": ScalingStudyParams,
    "tracking": TrackingParams,
    "tune": TuneParams,
}
RENAMED = {("training", "shares"): "data_shards", ("export", "calibration_pictures"): "calibration_images"}
"""Present names of parameters by group and former name."""
PATHS = (
    ("images", "root"),
    ("images", "corrections"),
    ("sample", "root"),
    ("predict", "source"),
    ("model", "weights"),
    ("model", "grow_from"),
)


def validate_parameters(raw: dict[str, Any]) -> dict[str, Group]:
    """Return the typed parameter groups by name.

    Raises:
        InputError: One line that names each wrong parameter, its rule and the value received.
    """
    unknown = sorted(set(raw) - set(GROUPS))
    if unknown:
        raise InputError(f"{unknown[0]}: unknown parameter group; known are {', '.join(GROUPS)}")
    typed, problems = {}, []
    for name, value in raw.items():
        try:
            typed[name] = GROUPS[name].model_validate(value)
        except ValidationError as error:
            problems += [_one_line(name, problem) for problem in error.errors()]
    problems = problems or _contradictions(typed)
    if problems:
        raise InputError("; ".join(problems))
    return typed


def _contradictions(typed: dict[str, Group]) -> list[str]:
    """Return problems between two groups that are each valid alone."""
    model, training = typed.get("model"), typed.get("training")
    if not isinstance(model, ModelParams) or not isinstance(training, TrainingParams) or model.budget is None:
        return []
    if training.distributed and model.budget.max_ms_per_image is not None:
        return [
            "model.budget.max_ms_per_image: must be null with training.distributed=true, because each process would "
            f"measure its own time, got {model.budget.max_ms_per_image:g}; measure in a run of one process and set "
            "model.phi"
        ]
    return []


def rename_parameters(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of ``raw`` in which present names replace former ones; log a warning for each.

    A former name overrides the present one, because conf/base always sets the present one.
    """
    renamed = dict(raw)
    for (group, former), present in RENAMED.items():
        values = renamed.get(group)
        if isinstance(values, dict) and former in values:
            logger.warning("%s.%s was renamed to %s.%s; please use the new name", group, former, group, present)
            others = {name: value for name, value in values.items() if name != former}
            renamed[group] = {**others, present: values[former]}
    return renamed


def anchor_paths(raw: dict[str, Any], project_path: Path) -> dict[str, Any]:
    """Return a copy of ``raw`` with relative folders and files made absolute, starting at the project's root.

    Values that are no path, such as ``model.weights: imagenet``, do not change.
    """
    anchored = dict(raw)
    for group, key in PATHS:
        values = raw.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, str) and _is_path(key, value):
            anchored[group] = {**anchored[group], key: str(project_path / Path(value).expanduser())}
    return anchored


def decisive_parameters(model: ModelParams, training: TrainingParams, images: ImageParams) -> dict[str, Any]:
    """Return the parameters that determine the trained weights, as plain nested values.

    A preset counts by its values, not by its name, and images by their content, not by their folder. How training is
    saved and where it runs do not count.
    """
    return {
        "model": model.model_dump(mode="json"),
        "training": training.model_dump(
            mode="json", exclude={"preset", "checkpoint", "distributed", "require_gpu", "auto_batch"}
        ),
        "images": images.model_dump(
            mode="json", include={"background", "max_pixels", "resize", "shrink_on_load", "tiff"}
        ),
    }


def _one_line(group: str, problem: Any) -> str:
    name = ".".join([group, *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown parameter; known are {', '.join(_fields(group, problem['loc'][:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    simple = not isinstance(problem["input"], dict | BaseModel)
    return f"{name}: {message}" + (f", got {problem['input']!r}" if simple else "")


def _fields(group: str, location: tuple[Any, ...]) -> list[str]:
    model: Any = GROUPS[group]
    for part in location:
        annotation = model.model_fields[part].annotation
        model = next(kind for kind in (*get_args(annotation), annotation) if hasattr(kind, "model_fields"))
    return list(model.model_fields)


def _is_path(key: str, value: str) -> bool:
    return value.endswith(".keras") if key == "grow_from" else value not in WEIGHT_WORDS
