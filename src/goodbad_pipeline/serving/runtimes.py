"""Other ways than Keras to run a network: from a file, by a library that needs neither Keras nor TensorFlow."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

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
        file: The ONNX graph: one input of float32 pixels, of any number of pictures.
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
    """A network run by LiteRT, one picture at a time on each core.

    That is faster than its own threads, which divide the little work there is in one layer of one picture.

    Args:
        file: The flatbuffer: one input of one picture.
    """

    def __init__(self, file: Path) -> None:
        self._content = file.read_bytes()
        self._of_thread = threading.local()
        self._pool = ThreadPoolExecutor(_cores(), thread_name_prefix="litert")
        self._pool.submit(self._interpreter).result()  # what is broken breaks here

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        """From pixels (n, side, side, 3), 0–255, to probabilities float32 (n, classes)."""
        return np.stack(list(self._pool.map(self._ask, pixels)))

    def _ask(self, picture: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter()
        given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
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
