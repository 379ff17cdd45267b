"""Which way to run a registered model: Keras, or a file that was exported from it and agreed with it."""

from collections.abc import Mapping
from typing import Any, Literal

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.serving.runtimes import KERAS, RUNTIMES, require_runtime

Backend = Literal["auto", "keras", "onnx", "litert", "litert_int8"]
Exports = Mapping[str, Mapping[str, Any]]
"""By backend what `kedro run --pipeline=export` found: images_per_second, agrees, same_answers and, but for Keras,
sha256."""


def choose_backend(wanted: Backend, exports: Exports, version: str) -> str:
    """Return ``keras`` or one of `RUNTIMES`.

    ``auto`` is the fastest, as measured at export, whose answers are the model's own and whose runtime is installed;
    whole numbers, which change answers a little, are used only where they are asked for.

    Raises:
        InputError: What is wanted was not exported, did not agree, or has no runtime here.
    """
    if wanted == "auto":
        usable = [name for name, one in exports.items() if one["same_answers"] and _runs(name)]
        return max(usable, key=lambda name: exports[name]["images_per_second"], default=KERAS)
    if wanted == KERAS:
        return wanted
    if wanted not in exports:
        raise InputError(
            f"predict.backend: version {version} was not exported as {wanted}; "
            f"kedro run --pipeline=export --params=export.version={version}"
        )
    if not exports[wanted]["agrees"]:
        raise InputError(
            f"predict.backend: {wanted} does not agree with version {version} (data/08_reporting/export.csv tells by "
            "how much); choose another"
        )
    require_runtime(wanted)
    return wanted


def _runs(name: str) -> bool:
    return name == KERAS or (name in RUNTIMES and RUNTIMES[name].installed)
