"""Whether a weights file is of a network, told by the shapes of its kernels. Starts no Keras."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import expand_blocks, head_filters, stem_filters
from goodbad_pipeline.networks.scaling import NetworkScale

Shape = tuple[int, ...]

_OF_A_CONVOLUTION, _OF_A_CLASSIFIER = 4, 2  # dimensions


@contextmanager
def open_weights(path: Path) -> Iterator[h5py.File]:
    """Open the arrays of a `.h5`, `.weights.h5` or `.keras` file to read.

    Raises:
        InputError: The file cannot be read as what its suffix says.
    """
    try:
        source: Path | io.BytesIO = path
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(source, "r") as file:
            yield file
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"weights file {path} cannot be read: {reason}. Save the weights anew.") from error


def kernel_shapes(scale: NetworkScale) -> Iterator[Shape]:
    """Shapes of all kernels but the classifier's, from the image on: (height, width, channels in, channels out)."""
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


def check_shapes(path: Path, scale: NetworkScale, classes: int | None) -> None:
    """Find before a network is built that a file's weights are another's; which layer differs, loading tells.

    Args:
        path: The file.
        scale: The network.
        classes: Outputs of its classifier, held against the file's if that has one; None where they are not known.

    Raises:
        InputError: The file cannot be read, or its kernels have other shapes.
    """
    found = _shapes_in(path)
    expected = Counter(kernel_shapes(scale))
    kernels = Counter(shape for shape in found if len(shape) == _OF_A_CONVOLUTION)
    for shape in expected | kernels:
        if expected[shape] != kernels[shape]:
            raise InputError(
                f"weights {str(path)!r} do not fit: {scale.label} has {expected[shape]} kernels of shape {shape}; "
                f"received {kernels[shape]}. Use those of this network."
            )
    ours = head_filters(scale), classes
    for shape in found:
        if classes is not None and len(shape) == _OF_A_CLASSIFIER and shape != ours:
            raise InputError(
                f"weights {str(path)!r} do not fit: the classifier has the shape {ours}; received {shape}. "
                "Use a file of as many classes, or one without a classifier."
            )


def _shapes_in(path: Path) -> list[Shape]:
    """Shapes of the layers' arrays; an optimizer's are left out."""
    shapes: list[Shape] = []

    def note(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            shapes.append(item.shape)

    with open_weights(path) as file:
        group = file["layers"] if "layers" in file else file.get("model_weights", file)
        group.visititems(note)
    return shapes
