"""The one door through which a ``.keras`` archive is loaded: nothing in it may be, or name, code.

Keras's own ``safe_mode`` has been passed by more than once (CVE-2025-1550, CVE-2025-8747, CVE-2026-1462), so what
Keras would deserialise is held against a closed list before Keras sees it.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from goodbad_pipeline.errors import InputError

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
LAYERS = {
    *("InputLayer", "Rescaling", "Normalization", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "Activation"),
    *("ReLU", "Dropout", "Add", "Multiply", "Reshape", "Flatten", "ZeroPadding2D", "MaxPooling2D"),
    *("GlobalAveragePooling2D", "Dense"),
}
INITIALIZERS = {"Zeros", "Ones", "Constant", "VarianceScaling", "GlorotUniform", "HeNormal", "RandomNormal"}
ALLOWED = {
    "keras.layers": LAYERS,
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": {"L1", "L2", "L1L2"},
    "keras": {"DTypePolicy", "Sequential", "Functional"},
    "keras.src.models.functional": {"Functional"},
    None: {"__keras_tensor__"},
}
"""Class names by module; whoever builds networks of other layers adds them here."""


def file_digest(file: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_archive(file: Path, digest: str | None = None) -> Any:
    """Load a Keras model, without its optimizer, from an archive that holds layers and numbers alone.

    Args:
        file: The archive.
        digest: SHA-256 it must have; None where nobody recorded one.

    Raises:
        InputError: Another digest, or something in it that is no plain network.
    """
    check_archive(file, digest)
    import keras  # noqa: PLC0415 - seconds, and a hostile archive should not cost them

    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers do
        raise InputError(f"{file}: Keras cannot build this network ({_first_line(error)})") from error


def check_archive(file: Path, digest: str | None = None) -> None:
    """Look through an archive before anything in it is used.

    Raises:
        InputError: As :func:`load_archive`.
    """
    try:
        found = file_digest(file)
    except OSError as error:
        raise InputError(f"{file}: the model archive cannot be read ({error.strerror})") from error
    if digest is not None and found != digest:
        raise InputError(f"{file}: the model archive was changed: SHA-256 is {found}, recorded was {digest}")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive)
            _check_names(json.loads(archive.read("config.json")))
            _check_weights(archive.read("model.weights.h5"))
    except _RefusedError as refused:
        raise InputError(f"{file}: refused as a model archive: {refused}") from refused
    except Exception as error:  # zipfile, json and HDF5 raise a dozen types on hostile bytes
        raise InputError(f"{file}: no model archive of Keras ({_first_line(error)})") from error


class _RefusedError(Exception):
    """What the archive holds that it must not."""


def _check_members(archive: zipfile.ZipFile) -> None:
    names = sorted(member.filename for member in archive.infolist())
    if names != sorted(MEMBERS):
        raise _RefusedError(f"it must hold exactly {', '.join(sorted(MEMBERS))}; it holds {', '.join(names)[:200]}")
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:  # Keras compresses nothing; a bomb does
            raise _RefusedError(f"{member.filename} is compressed")


def _check_names(config: Any) -> None:
    """Every object that Keras would make is on the list, under its own module and no registered name of another's.

    Keras leaves the training settings of the outermost object aside, and of that alone: a network within is compiled.
    """
    for described in _objects({**config, "compile_config": None}):
        name, module = described["class_name"], described.get("module")
        if not isinstance(name, str) or name not in ALLOWED.get(module, ()):
            raise _RefusedError(f"{str(module)[:60]}.{str(name)[:60]} is none of the layers it may hold")
        if described.get("registered_name") not in (None, name):
            raise _RefusedError(f"{name} is registered under another name")


def _objects(value: Any) -> Any:
    """Yield, at every depth, each dictionary that names a class."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _check_weights(data: bytes) -> None:
    """Only groups and arrays of numbers: a link or an external array would read other files."""
    with h5py.File(io.BytesIO(data), "r") as file:
        pending = [file["/"]]
        while pending:
            group = pending.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise _RefusedError(f"weight {name[:60]} is a link")
                item = group[name]
                if isinstance(item, h5py.Group):
                    pending.append(item)
                elif item.external or item.is_virtual or item.dtype.kind not in "fiub":
                    raise _RefusedError(f"weight {name[:60]} is no array of numbers")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
