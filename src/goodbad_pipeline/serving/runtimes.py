"""Inference runtimes: Keras, or ONNX Runtime and LiteRT, which run an exported file without Keras and TensorFlow."""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np

from goodbad_pipeline.errors import InputError, install_command, option
from goodbad_pipeline.serving.archive import first_line, require_digest

KERAS: Final = "keras"
Backend = Literal["auto", "keras", "onnx", "litert", "litert_int8"]
Exports = Mapping[str, Mapping[str, Any]]
"""Results of `kedro run --pipeline=export` by backend: images_per_second, agrees (differs from Keras by no more than is
allowed), same_answers (differs by at most `export.tolerance`) and, except for Keras, sha256."""


class Network(Protocol):
    """A network that a classifier can use, for example a Keras model."""

    def predict_on_batch(self, pixels: np.ndarray) -> Any:
        """Map pixels (n, side, side, 3), 0–255, to probabilities (n, classes)."""


class OnnxNetwork:
    """A network that ONNX Runtime runs, from a file with one float32 input and any batch size."""

    def __init__(self, file: Path) -> None:
        import onnxruntime  # noqa: PLC0415 - optional dependency

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _cores()
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        """Return probabilities: float32, shape (n, classes)."""
        return self._session.run(None, {self._input: pixels.astype(np.float32)})[0]


class LiteRTNetwork:
    """A network that LiteRT runs, from a file with batch size 1.

    Each core runs one image at a time. This is faster than LiteRT's own threads, which split single layers.
    """

    def __init__(self, file: Path) -> None:
        self._content = file.read_bytes()
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(_cores(), thread_name_prefix="litert")
        self._pool.submit(self._interpreter).result()  # raises here if the file is broken

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        """Return probabilities: float32, shape (n, classes)."""
        return np.stack(list(self._pool.map(self._predict, pixels)))

    def _predict(self, image: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter()
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.set_tensor(source["index"], image[None].astype(source["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])[0]

    def _interpreter(self) -> Any:
        if not hasattr(self._local, "interpreter"):
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - optional dependency

            self._local.interpreter = Interpreter(model_content=self._content, num_threads=1)
            self._local.interpreter.allocate_tensors()
        return self._local.interpreter


@dataclass(frozen=True)
class Runtime:
    """A format of exported networks: file name, Python module that runs the file, and function that loads the file."""

    file: str
    module: str
    load: Callable[[Path], Network]

    @property
    def installed(self) -> bool:
        """True if the module is installed."""
        return find_spec(self.module) is not None


RUNTIMES = {
    "onnx": Runtime("model.onnx", "onnxruntime", OnnxNetwork),
    "litert": Runtime("model.tflite", "ai_edge_litert", LiteRTNetwork),
    "litert_int8": Runtime("model_int8.tflite", "ai_edge_litert", LiteRTNetwork),
}


def load_network(name: str, folder: Path, digest: str | None = None) -> Network:
    """Load the network that was exported for one of `RUNTIMES`, after checking its SHA-256 if ``digest`` is given.

    Raises:
        InputError: The runtime is not installed, or the file is missing, changed or broken.
    """
    runtime = RUNTIMES[name]
    require_runtime(name)
    file = folder / runtime.file
    try:
        require_digest(file, digest, "the exported file")
        return runtime.load(file)
    except InputError:
        raise
    except Exception as error:  # each runtime raises its own exceptions
        raise InputError(f"{file}: {runtime.module} cannot load this file ({first_line(error)})") from error


def require_runtime(name: str) -> None:
    """Raise `InputError` if the runtime is not installed."""
    if not RUNTIMES[name].installed:
        raise InputError(
            f"predict.backend: {name} needs the package {RUNTIMES[name].module.replace('_', '-')}, which is not "
            f"installed; {install_command('export')}"
        )


def choose_backend(backend: Backend, exports: Exports, name: str, version: str) -> str:
    """Return the backend to use: ``keras`` or a key of `RUNTIMES`.

    ``auto`` selects the fastest installed backend whose probabilities differ from Keras by at most `export.tolerance`.
    The int8 backend rarely stays within this tolerance.

    Raises:
        InputError: The backend was not exported, did not agree with Keras, or is not installed.
    """
    if backend == "auto":
        installed = {KERAS, *(name for name, runtime in RUNTIMES.items() if runtime.installed)}
        usable = [name for name, one in exports.items() if one["same_answers"] and name in installed]
        return max(usable, key=lambda name: exports[name]["images_per_second"], default=KERAS)
    if backend == KERAS:
        return backend
    if backend not in exports:
        raise InputError(
            f"predict.backend: version {version} of '{name}' was not exported as {backend}; run --pipeline=export "
            f"{option('registry.name', f'{name},export.version={version}')}"
        )
    if not exports[backend]["agrees"]:
        raise InputError(
            f"predict.backend: the predictions of {backend} and Keras differ too much for version {version} (see "
            "data/08_reporting/export.csv); choose another backend"
        )
    require_runtime(backend)
    return backend


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
