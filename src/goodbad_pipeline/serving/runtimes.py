"""Other ways than Keras to run a network: from a file, by a library that needs neither Keras nor TensorFlow."""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.serving.archive import file_digest

KERAS: Final = "keras"


class Network(Protocol):
    """What a classifier asks: a Keras model is one."""

    def predict_on_batch(self, pixels: np.ndarray) -> Any:
        """From pixels (n, side, side, 3), 0–255, to probabilities (n, classes)."""


class OnnxNetwork:
    """A network run by ONNX Runtime.

    Args:
        file: The ONNX graph: one input of float32 pixels, of any number of images.
    """

    def __init__(self, file: Path) -> None:
        import onnxruntime  # noqa: PLC0415 - an extra

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _cores()
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        """From pixels (n, side, side, 3), 0–255, to probabilities float32 (n, classes)."""
        return self._session.run(None, {self._input: pixels.astype(np.float32)})[0]


class LiteRTNetwork:
    """A network run by LiteRT, one image at a time on each core.

    That is faster than its own threads, which divide the little work there is in one layer of one image.

    Args:
        file: The flatbuffer: one input of one image.
    """

    def __init__(self, file: Path) -> None:
        self._content = file.read_bytes()
        self._of_thread = threading.local()
        self._pool = ThreadPoolExecutor(_cores(), thread_name_prefix="litert")
        self._pool.submit(self._interpreter).result()  # what is broken breaks here

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        """From pixels (n, side, side, 3), 0–255, to probabilities float32 (n, classes)."""
        return np.stack(list(self._pool.map(self._ask, pixels)))

    def _ask(self, image: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter()
        given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.set_tensor(given["index"], image[None].astype(given["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(found["index"])[0]

    def _interpreter(self) -> Any:
        if not hasattr(self._of_thread, "interpreter"):
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - an extra

            self._of_thread.interpreter = Interpreter(model_content=self._content, num_threads=1)
            self._of_thread.interpreter.allocate_tensors()
        return self._of_thread.interpreter


@dataclass(frozen=True)
class Runtime:
    """A kind of file and what runs it.

    Attributes:
        file: Name of the file.
        module: What must be installed to run it.
        load: From the file to the network.
    """

    file: str
    module: str
    load: Callable[[Path], Network]

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        return find_spec(self.module) is not None


RUNTIMES = {
    "onnx": Runtime("model.onnx", "onnxruntime", OnnxNetwork),
    "litert": Runtime("model.tflite", "ai_edge_litert", LiteRTNetwork),
    "litert_int8": Runtime("model_int8.tflite", "ai_edge_litert", LiteRTNetwork),
}


def load_network(name: str, folder: Path, digest: str | None = None) -> Network:
    """Load one of `RUNTIMES` from the folder that holds its file.

    Args:
        name: Which.
        folder: Where its file is.
        digest: SHA-256 that the file must have; None where nobody recorded one.

    Raises:
        InputError: The runtime is not installed, or the file is not there, another, or broken.
    """
    runtime = RUNTIMES[name]
    require_runtime(name)
    file = folder / runtime.file
    try:
        found = file_digest(file)
        if digest is not None and found != digest:
            raise InputError(f"{file}: the exported file was changed: SHA-256 is {found}, recorded was {digest}")
        return runtime.load(file)
    except InputError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        raise InputError(f"{file}: {runtime.module} cannot load it ({str(error).splitlines()[0][:200]})") from error


def require_runtime(name: str) -> None:
    """Check that what runs a format is installed.

    Raises:
        InputError: It is not.
    """
    if not RUNTIMES[name].installed:
        raise InputError(
            f"predict.backend: {name} needs the package {RUNTIMES[name].module.replace('_', '-')}, which is not "
            "installed; install the extra 'export' (pip install --editable \".[export]\")"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
