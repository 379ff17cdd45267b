"""Where the network that is made larger comes from: ImageNet, a registered version or a file. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from goodbad_pipeline.efficientnet.pretrained import IMAGENET, check_weights
from goodbad_pipeline.efficientnet.scaling import NetworkScale, resolve_scale
from goodbad_pipeline.errors import InputError

_VERSION = re.compile(r"(?:(?P<name>[^/]+)/)?(?P<number>[0-9]+)")
_SUFFIX = ".keras"


@dataclass(frozen=True)
class GrowthSource:
    """Exactly one of three.

    Attributes:
        imagenet: Whether it is φ = 0 of the family with its ImageNet weights.
        version: Number of a registered version, or None.
        name: The registered model, where the user named one.
        path: A `.keras` file, or None.
    """

    imagenet: bool = False
    version: str | None = None
    name: str | None = None
    path: Path | None = None


def parse_growth_source(value: str | int) -> GrowthSource:
    """Read `imagenet`, a version (`3` or `goodbad/3`) or the path of a `.keras` file.

    Raises:
        InputError: It is none of these.
    """
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
    """φ = 0 of a family, B0 or Lite0, whose ImageNet weights growth starts from."""
    return resolve_scale(phi=0, family=family, resolution=resolution)


def check_growth_source(source: GrowthSource, family: str) -> None:
    """Find before anything is built what would keep the source from being loaded.

    Raises:
        InputError: The ImageNet weights' package is missing, or the file is.
    """
    if source.imagenet:
        check_weights(IMAGENET, base_scale(family))
    if source.path is not None and not source.path.is_file():
        raise InputError(f"grow_from names a file that does not exist: {str(source.path)!r}. Correct the path.")
