"""Read weights from a PyTorch file in the old, non-zip format, without PyTorch.

A pickle can call any function when it is loaded. A file is therefore rejected if its pickles refer to anything except
four harmless classes and functions.
"""

import math
import os
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from goodbad_pipeline.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MALFORMED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError),
    *(OverflowError, MemoryError, RecursionError, struct.error),
)
_FLOAT, _LONG = "<f4", "<i8"


@dataclass(frozen=True)
class _Storage:
    """A block of numbers, stored after the pickles of the file."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage. Offset and strides are counted in numbers, not in bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Return the tensor as an array. `numbers` is the whole storage.

        Bounds are checked here and not on creation, because a pickle can change the tensor after its creation.
        """
        reach = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or max(reach + 1, math.prod(self.shape)) > numbers.size:
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        strides = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides).copy()


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _FLOAT,
    ("torch", "LongStorage"): _LONG,
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"the file refers to {module}.{name}, which weights do not need")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or dtype not in {_FLOAT, _LONG} or view is not None:
            raise pickle.UnpicklingError("the file contains something other than blocks of float32 or int64 numbers")
        return _Storage(key, dtype, count)


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Return weights by name, with axes ordered as in PyTorch: (out, in, height, width).

    The file must have been written by `torch.save(model.state_dict())` of PyTorch before 1.6.

    Raises:
        InputError: The file is missing, truncated, in another format, or holds anything except weights.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise InputError(f"Cannot read the weights file {path}: {error.strerror}.") from error
    except _MALFORMED as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"Rejected the weights file {path}: {reason}. Reinstall the Python package that installed this file."
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
        raise pickle.UnpicklingError("the file is not in PyTorch's old format")
    if not _load(file)["little_endian"]:
        raise pickle.UnpicklingError("the file is big-endian")
    tensors, keys = _load(file), _load(file)
    if not all(isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in tensors.items()):
        raise pickle.UnpicklingError("the file contains something other than named tensors")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: tensor.read(numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _load(file: BinaryIO) -> Any:
    return _RestrictedUnpickler(file).load()


def _read_storage(file: BinaryIO, storage: _Storage) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    remaining = os.fstat(file.fileno()).st_size - file.tell()
    data = file.read(min(storage.count, remaining) * np.dtype(storage.dtype).itemsize)
    numbers = np.frombuffer(data, storage.dtype)
    if not count == storage.count == numbers.size:
        raise pickle.UnpicklingError("the file is truncated")
    return numbers
