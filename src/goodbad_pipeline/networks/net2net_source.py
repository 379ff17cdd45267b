"""Read `grow_from`, which names a small network, and check that this network can grow into a larger network.

The checks do not import Keras, so that impossible growth is reported before a run starts.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import STAGES, LayerShape, layer_shape
from goodbad_pipeline.networks.pretrained import IMAGENET, check_weights
from goodbad_pipeline.networks.scaling import NetworkScale, resolve_scale

_VERSION = re.compile(r"(?:(?P<name>[^/]+)/)?(?P<number>[0-9]+)")
_DEPTHWISE = re.compile(r"block([1-7])([a-z]+)_dwconv")
_SUFFIX = ".keras"


@dataclass(frozen=True)
class GrowthSource:
    """The network to grow: φ = 0 with ImageNet weights, a registered version, or a `.keras` file.

    `name` is the name of the registered model; None stands for the parameter `registry.name`.
    """

    imagenet: bool = False
    version: str | None = None
    name: str | None = None
    path: Path | None = None


def parse_growth_source(value: str | int | None) -> GrowthSource | None:
    """Parse `imagenet`, a version (`3` or `goodbad/3`) or the path of a `.keras` file. Return None for None."""
    if value is None:
        return None
    text = str(value)
    if text == IMAGENET:
        return GrowthSource(imagenet=True)
    if match := _VERSION.fullmatch(text):
        return GrowthSource(version=match["number"], name=match["name"])
    if text.endswith(_SUFFIX):
        return GrowthSource(path=Path(text))
    raise InputError(
        f"grow_from must be imagenet, a registered version (3 or goodbad/3) or a {_SUFFIX} file; received {value!r}."
    )


def base_scale(family: str, resolution: int | None = None) -> NetworkScale:
    """Return the scale of the source network for `grow_from: imagenet`: B0 or Lite0, the networks of φ = 0."""
    return resolve_scale(phi=0, family=family, resolution=resolution)


def check_growth_source(source: GrowthSource, family: str) -> None:
    """Raise InputError if the package with the ImageNet weights, or the `.keras` file, is missing."""
    if source.imagenet:
        check_weights(IMAGENET, base_scale(family))
    if source.path is not None and not source.path.is_file():
        raise InputError(f"grow_from: the file {str(source.path)!r} does not exist. Correct the path.")


def source_shape(source: GrowthSource, family: str) -> LayerShape | None:
    """Return the channels and blocks of the source, or None for a registered version, whose model is not loaded."""
    if source.imagenet:
        return layer_shape(base_scale(family))
    return None if source.path is None else _file_shape(source.path)


def _file_shape(path: Path) -> LayerShape:
    try:
        with zipfile.ZipFile(path) as archive:
            layers: list[Any] = json.loads(archive.read("config.json"))["config"]["layers"]
        filters = {layer["config"]["name"]: layer["config"].get("filters") for layer in layers}
    except (OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"grow_from: {path} cannot be read as a {_SUFFIX} file ({type(error).__name__}). Save the model again."
        ) from error
    return shape_of_layers(filters, str(path))


def shape_of_layers(filters: Mapping[str, int | None], source: str) -> LayerShape:
    """Return the shape of a network. `filters` maps each layer name to its number of output channels."""
    ends = ["stem_conv", *(f"block{stage}a_project_conv" for stage in range(1, len(STAGES) + 1)), "top_conv"]
    channels = [filters.get(name) for name in ends]
    if None in channels:
        missing = ends[channels.index(None)]
        raise InputError(
            f"grow_from: {source} is no EfficientNet of this project: it lacks the layer '{missing}'. Use a "
            "model that this project saved."
        )
    stages = [int(match[1]) for name in filters if (match := _DEPTHWISE.fullmatch(name))]
    family = "efficientnet" if "block1a_se_reduce" in filters else "efficientnet_lite"
    repeats = tuple(stages.count(stage) for stage in range(1, len(STAGES) + 1))
    return LayerShape(family, tuple(int(count or 0) for count in channels), repeats)


def check_growth(source: LayerShape, target: LayerShape) -> None:
    """Raise InputError unless the source network can grow into the target.

    The target must have the family of the source, and in no stage fewer channels or layers than the source. No block
    may gain a shortcut, because no weights could cancel the input that the shortcut adds.
    """
    if source.family != target.family:
        raise InputError(f"grow_from: {source.family} cannot become {target.family}. Set family to {source.family}.")
    parts = ["stem", *(f"stage {number + 2}" for number in range(len(STAGES))), "head"]
    for part, old, new in zip(parts, source.channels, target.channels, strict=True):
        if new < old:
            raise InputError(f"grow_from: {part} has {old} channels, the target has only {new}. Use a larger phi.")
    for part, old, new in zip(parts[1:-1], source.repeats, target.repeats, strict=True):
        if new < old:
            raise InputError(f"grow_from: {part} has {old} layers, the target has only {new}. Use a larger phi.")
    if list(_shortcuts(source)) != list(_shortcuts(target)):
        raise InputError("grow_from: a block would gain a shortcut, which changes the outputs. Use another phi.")


def _shortcuts(shape: LayerShape) -> Iterator[bool]:
    """For each stage, yield whether its first block has a shortcut."""
    for index, stage in enumerate(STAGES):
        yield stage.stride == 1 and shape.channels[index] == shape.channels[index + 1]
