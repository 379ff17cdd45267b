"""Check all parameter groups before a run starts."""

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.images.corrections import default_file
from goodbad_pipeline.images.stores import is_url
from goodbad_pipeline.params import data, experiments, results
from goodbad_pipeline.params.base import Group
from goodbad_pipeline.params.training import WEIGHT_WORDS, ModelParams, TrainingParams

logger = logging.getLogger(__name__)

GROUPS: dict[str, type[Group]] = {
    "sample": data.SampleParams,
    "images": data.ImageParams,
    "splits": data.SplitParams,
    "model": ModelParams,
    "training": TrainingParams,
    "evaluation": results.EvaluationParams,
    "registry": results.RegistryParams,
    "predict": results.PredictParams,
    "export": results.ExportParams,
    "replay": results.ReplayParams,
    "review": results.ReviewParams,
    "promotion": results.PromotionParams,
    "scaling_search": experiments.ScalingSearchParams,
    "scaling_study": experiments.ScalingStudyParams,
    "tracking": results.TrackingParams,
    "tune": experiments.TuneParams,
}
RENAMED = {"training.shares": "data_shards", "export.calibration_pictures": "calibration_images"}
"""The last part of the new name of each renamed parameter, by old name."""
PATHS = (
    ("images", "root"),
    ("images", "corrections"),
    ("sample", "root"),
    ("predict", "source"),
    ("model", "weights"),
    ("model", "grow_from"),
)


def validate_parameters(raw: dict[str, Any]) -> dict[str, Group]:
    """Check the parameters and return the parameter groups by name.

    Raises:
        InputError: One line with the name of each wrong parameter, its rule and the value received.
    """
    unknown = sorted(set(raw) - set(GROUPS))
    if unknown:
        raise InputError(f"{unknown[0]}: unknown parameter group; use one of {', '.join(GROUPS)}")
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
    """Return the problems of groups that are valid on their own but contradict each other."""
    model, training = typed.get("model"), typed.get("training")
    if not isinstance(model, ModelParams) or not isinstance(training, TrainingParams) or not training.distributed:
        return []
    if model.resolution == "auto":
        return ["model.resolution: must be a number or null with training.distributed=true, got 'auto'"]
    if training.refit:
        return ["training.refit: must be false with training.distributed=true, got True"]
    if model.budget is not None and model.budget.max_ms_per_image is not None:
        return [
            "model.budget.max_ms_per_image: must be null with training.distributed=true, because each process would "
            f"measure a different time, got {model.budget.max_ms_per_image:g}; find phi in a run with one process and "
            "set model.phi"
        ]
    return []


def rename_parameters(raw: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a copy of ``raw`` with old names replaced by new names, also in ``tune.space``.

    A warning is logged for each old name. If both names are present, the value of the old name is used,
    because the value of the new name is perhaps only its default. ``path`` is the dotted name
    of ``raw`` and a final dot.
    """
    current: dict[str, Any] = {}
    former: dict[str, Any] = {}
    for key, value in raw.items():
        name = f"{path}{key}"
        inner = rename_parameters(value, f"{name}.") if isinstance(value, dict) else value
        present = RENAMED.get(name.removeprefix("tune.space."))
        if present is None:
            current[key] = inner
        else:
            prefix, _, old = name.rpartition(".")
            logger.warning("%s was renamed to %s.%s; use the new name", name, prefix, present)
            former[f"{key.removesuffix(old)}{present}"] = inner
    return current | former


def anchor_paths(raw: dict[str, Any], project_path: Path) -> dict[str, Any]:
    """Return a copy of ``raw`` in which relative paths are replaced by absolute paths below ``project_path``.

    Values that are not paths, such as ``model.weights: imagenet``, do not change. Several paths in
    ``predict.source``, separated by commas, become a list. If ``images.corrections`` is null and the default file
    exists, the parameter becomes that file.
    """
    anchored = dict(raw)
    for group, key in PATHS:
        values = raw.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, str | list):
            anchored[group] = {**anchored[group], key: _anchor(key, value, project_path)}
    images = anchored.get("images")
    if isinstance(images, dict) and images.get("corrections") is None and isinstance(images.get("root"), str):
        file = default_file(images["root"])
        if file is not None and file.is_file():
            anchored["images"] = {**images, "corrections": str(file)}
    return anchored


def _anchor(key: str, value: Any, project_path: Path) -> Any:
    if isinstance(value, list):
        return [_anchor(key, one, project_path) for one in value]
    if key == "source" and "," in value and not is_url(value) and not (project_path / value).exists():
        return _anchor(key, [one.strip() for one in value.split(",")], project_path)
    is_path = isinstance(value, str) and _is_path(key, value)
    return str(project_path / Path(value).expanduser()) if is_path else value


def decisive_parameters(model: ModelParams, training: TrainingParams, images: data.ImageParams) -> dict[str, Any]:
    """Return the parameters that determine the trained weights, as nested JSON values.

    The values of a preset are included, the name of the preset is not. Parameters of the image folder, the checkpoints
    and the machine are left out, because they do not affect the weights.
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
        known = _fields(group, problem["loc"][:-1])
        similar = get_close_matches(str(problem["loc"][-1]), known, 1)
        question = f"; did you mean {similar[0]}?" if similar else ""
        return f"{name}: unknown parameter; use one of {', '.join(known)}{question}"
    if problem["type"] in ("model_type", "model_attributes_type", "dict_type"):
        example = next(iter(_fields(group, problem["loc"])), "name") if problem["type"] != "dict_type" else "name"
        return f"{name}: must be a mapping, such as {name}: {{{example}: …}}, got {problem['input']!r}"
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
    return value.endswith(".keras") if key == "grow_from" else value not in WEIGHT_WORDS and not is_url(value)
