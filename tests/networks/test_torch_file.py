import collections
import io
import os
import pickle
import struct

import numpy as np
import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks import torch_file
from goodbad_pipeline.networks.torch_file import read_torch_weights

NUMBERS = np.arange(6, dtype="<f4")


class _Global:
    """Pickles as a call of a name that need not exist here."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class _Pickler(pickle._Pickler):
    """Writes files as PyTorch does, without PyTorch."""

    def persistent_id(self, obj):
        if isinstance(obj, tuple) and obj and obj[0] == "storage":
            return obj
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            if obj.arguments:
                self.save(obj.arguments[0])
                self.write(pickle.REDUCE)
            return None
        return super().save(obj, save_persistent_id)


def _dump(obj):
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(obj)
    return buffer.getvalue()


def _tensor(shape=(2, 3), strides=(3, 1), *, offset=0, count=6, storage="FloatStorage", view=None):
    stored = ("storage", _Global("torch", storage), "1", "cpu", count, view)
    return _Global("torch._utils", "_rebuild_tensor_v2", (stored, offset, shape, strides, False, {}))


def _file(tmp_path, tensors, *, data=None, magic=torch_file._MAGIC, little_endian=True, keys=("1",)):
    data = struct.pack("<q", 6) + NUMBERS.tobytes() if data is None else data
    heads = (magic, 1001, {"little_endian": little_endian}, tensors, list(keys))
    path = tmp_path / "weights.pth"
    path.write_bytes(b"".join(_dump(head) for head in heads) + data)
    return path


def test_a_tensor_is_read(tmp_path):
    weights = read_torch_weights(_file(tmp_path, {"a": _tensor()}))
    np.testing.assert_array_equal(weights["a"], NUMBERS.reshape(2, 3))


def test_a_transposed_tensor_is_read(tmp_path):
    weights = read_torch_weights(_file(tmp_path, {"a": _tensor((3, 2), (1, 3))}))
    np.testing.assert_array_equal(weights["a"], NUMBERS.reshape(2, 3).T)


def test_two_tensors_may_share_a_storage(tmp_path):
    tensors = {"a": _tensor((2,), (1,), offset=4), "b": _tensor((), ())}
    weights = read_torch_weights(_file(tmp_path, tensors))
    np.testing.assert_array_equal(weights["a"], [4, 5])
    assert weights["b"] == 0


@pytest.mark.parametrize("name", ["system", "remove"])
def test_a_file_that_calls_the_system_is_rejected(tmp_path, name):
    victim = tmp_path / "victim"
    victim.touch()
    command = str(victim) if name == "remove" else f"rm {victim}"
    path = _file(tmp_path, {"a": _Global("posix", name, (command,))})
    with pytest.raises(InputError, match=rf"^Rejected the weights file .*: the file refers to posix\.{name}"):
        read_torch_weights(path)
    assert victim.exists()


def test_a_malicious_pickle_is_rejected(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match="which weights do not need"):
        read_torch_weights(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__"])
def test_builtins_are_rejected(tmp_path, name):
    with pytest.raises(InputError, match=f"the file refers to builtins.{name}"):
        read_torch_weights(_file(tmp_path, {"a": _Global("builtins", name)}))


@pytest.mark.parametrize(
    "tensor",
    [
        _tensor((2, 4), (3, 1)),
        _tensor((2, 3), (1000, 1)),
        _tensor((2, 3), (3, 1), offset=1),
        _tensor((2, 3), (3, 1), offset=-1),
        _tensor((2, 3), (-3, 1), offset=3),
        _tensor((10**12,), (0,)),
        _tensor((2, 3), (3,)),
        _tensor(count=10**15),
        _tensor(count=-6),
        _tensor(count=5),
        _tensor(view=("1", 0, 6)),
        _tensor(storage="HalfStorage"),
        _Global("torch", "FloatStorage"),
        collections.OrderedDict(),
    ],
)
def test_malformed_tensors_are_rejected(tmp_path, tensor):
    with pytest.raises(InputError, match="Rejected the weights file"):
        read_torch_weights(_file(tmp_path, {"a": tensor}))


def test_a_tensor_changed_after_its_creation_is_rejected(tmp_path):
    head = _dump({"a": _tensor()})
    at = head.rindex(b"R") + 1  # behind the call that makes the tensor
    changed = head[:at] + _dump({"offset": 10**9})[2:-1] + b"b" + head[at:]
    path = _file(tmp_path, {"a": _tensor()})
    path.write_bytes(path.read_bytes().replace(head, changed))
    with pytest.raises(InputError, match="reaches beyond its storage"):
        read_torch_weights(path)


def test_a_truncated_file_is_rejected(tmp_path):
    whole = _file(tmp_path, {"a": _tensor()}).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_torch_weights(path)


def test_other_formats_are_rejected(tmp_path):
    with pytest.raises(InputError, match="old format"):
        read_torch_weights(_file(tmp_path, {}, magic=1))
    with pytest.raises(InputError, match="big-endian"):
        read_torch_weights(_file(tmp_path, {}, little_endian=False))
    with pytest.raises(InputError, match="named tensors"):
        read_torch_weights(_file(tmp_path, {"a": 3}))
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    with pytest.raises(InputError, match="Rejected"):
        read_torch_weights(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent"):
        read_torch_weights(tmp_path / "absent.pth")
