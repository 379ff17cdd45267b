"""Safe loading of ``.keras`` archives: an archive may contain layers and weights, but no code.

Keras's own ``safe_mode`` has been bypassed (CVE-2025-1550, CVE-2025-8747, CVE-2026-1462). So every object that Keras
would create from the archive is first checked against an allow-list.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.lazy import without_noise

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
"""Allowed class names by module. A network with other layers needs an entry here."""


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_digest(file: Path, digest: str | None, meaning: str) -> None:
    """Raise `InputError` unless ``digest`` is None or the SHA-256 of the file.

    ``meaning`` describes the file in the error message, such as "the model archive".
    """
    actual = file_digest(file)
    if digest not in (None, actual):
        raise InputError(f"{file}: {meaning} was changed: SHA-256 is {actual}, expected {digest}")


def load_archive(file: Path, digest: str | None = None) -> Any:
    """Check an archive with :func:`check_archive`, and load its Keras model without the optimizer."""
    check_archive(file, digest)
    with without_noise():
        import keras  # noqa: PLC0415 - the checks come first, because this import takes seconds

    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # layers may raise any exception
        raise InputError(f"{file}: Keras cannot build this network ({first_line(error)})") from error


def check_archive(file: Path, digest: str | None = None) -> None:
    """Check members, class names and weights of an archive, and the SHA-256 if given, without importing Keras.

    Raises:
        InputError: The digest differs, or the archive contains anything but a plain network.
    """
    try:
        require_digest(file, digest, "the model archive")
    except OSError as error:
        raise InputError(f"{file}: the model archive cannot be read ({error.strerror})") from error
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive)
            _check_names(json.loads(archive.read("config.json")))
            _check_weights(archive.read("model.weights.h5"))
    except _RefusedError as refused:
        raise InputError(f"{file}: unsafe model archive: {refused}") from refused
    except Exception as error:  # zipfile, json and HDF5 raise a dozen types on hostile bytes
        raise InputError(f"{file}: not a Keras model archive ({first_line(error)})") from error


class _RefusedError(Exception):
    """Raised when an archive contains something that is not allowed."""


def _check_members(archive: zipfile.ZipFile) -> None:
    names = sorted(member.filename for member in archive.infolist())
    if names != sorted(MEMBERS):
        raise _RefusedError(f"it must contain exactly {', '.join(sorted(MEMBERS))}, got {', '.join(names)[:200]}")
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:  # Keras never compresses; a zip bomb does
            raise _RefusedError(f"{member.filename} is compressed, unlike the files that Keras writes")


def _check_names(config: Any) -> None:
    """Check that the class of every object in the config is in `ALLOWED`.

    The outermost ``compile_config`` is skipped, because ``compile=False`` makes Keras ignore it. Keras reads the
    ``compile_config`` of a nested model.
    """
    for described in _objects({**config, "compile_config": None}):
        name, module = described["class_name"], described.get("module")
        if not isinstance(name, str) or name not in ALLOWED.get(module, ()):
            raise _RefusedError(f"{str(module)[:60]}.{str(name)[:60]} is not an allowed class")
        registered = described.get("registered_name")
        if registered not in (None, name):
            raise _RefusedError(f"class {name}: registered_name must be {name} or absent, got {str(registered)[:60]!r}")


def _objects(value: Any) -> Any:
    """Yield every dictionary of the nested config that has a ``class_name``, that is, each serialized object."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _check_weights(data: bytes) -> None:
    """Check that the weights are only groups and numeric arrays; a link or an external array could read other files."""
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
                    raise _RefusedError(f"weight {name[:60]} is not a numeric array")


def first_line(error: Exception) -> str:
    """Return the first line of the error message, or the name of the exception if its message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
