"""All groups together: what is checked, and made absolute, before a run begins."""

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.params.base import Group
from goodbad_pipeline.params.data import ImageParams, SampleParams, SplitParams
from goodbad_pipeline.params.network import WEIGHT_WORDS, ModelParams
from goodbad_pipeline.params.results import (
    EvaluationParams,
    ExportParams,
    PredictParams,
    PromotionParams,
    RegistryParams,
    ReplayParams,
    TrackingParams,
)
from goodbad_pipeline.params.scaling import ScalingSearchParams, ScalingStudyParams
from goodbad_pipeline.params.training import TrainingParams
from goodbad_pipeline.params.tuning import TuneParams

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
PATHS = (
    ("images", "root"),
    ("images", "corrections"),
    ("sample", "root"),
    ("predict", "source"),
    ("model", "weights"),
    ("model", "grow_from"),
)


def validate_parameters(raw: dict[str, Any]) -> dict[str, Group]:
    """Check every parameter of the project.

    Args:
        raw: All parameters as the configuration loader gives them, runtime parameters merged in.

    Returns:
        The typed groups by name.

    Raises:
        InputError: One line that names each parameter that is wrong, its rule and the value received.
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
        except InputError as error:
            problems.append(f"{name}: {error}")
    problems = problems or _disagreements(typed)
    if problems:
        raise InputError("; ".join(problems))
    return typed


def _disagreements(typed: dict[str, Group]) -> list[str]:
    """What is right in each group and wrong in two together."""
    model, training = typed.get("model"), typed.get("training")
    if not isinstance(model, ModelParams) or not isinstance(training, TrainingParams) or model.budget is None:
        return []
    problems = []
    if training.distributed and model.budget.max_ms_per_image is not None:
        problems.append(
            "model.budget.max_ms_per_image: must be null with training.distributed=true, for each process measures for "
            f"itself, got {model.budget.max_ms_per_image:g}; measure in a run of one process and set model.phi"
        )
    try:
        model.spend_least(training.batch_size, training.precision)
    except InputError as error:
        problems.append(f"model: {error}")
    return problems


def anchor_paths(raw: dict[str, Any], project_path: Path) -> dict[str, Any]:
    """Make the folders and files that parameters name absolute: relative ones start at the project's root.

    Returns:
        A copy of ``raw``; whatever is not a text, or names no path (``model.weights: imagenet``), stays as it is.
    """
    anchored = dict(raw)
    for group, key in PATHS:
        values = raw.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, str) and _is_path(key, value):
            anchored[group] = {**anchored[group], key: str(project_path / Path(value).expanduser())}
    return anchored


def decisive_parameters(model: ModelParams, training: TrainingParams, images: ImageParams) -> dict[str, Any]:
    """What of the parameters decides the weights a training ends with, as plain nested values.

    Left out are names of presets, whose values count, and what says how a run is saved or where it may run; images
    count by their content, not by their folder.
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
