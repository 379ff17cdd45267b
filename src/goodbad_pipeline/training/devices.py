"""Choose devices, precision and compilation for a training, and estimate which batch size fits into memory."""

import logging
import math
import os
from dataclasses import dataclass

import keras
import psutil

from goodbad_pipeline.errors import InputError, install_command
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.training.distributed import copy_variables, join_processes

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.client import device_lib  # the only API that reports the memory of a GPU

logger = logging.getLogger(__name__)

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_USABLE_MEMORY = 0.85  # fraction; the framework needs memory too, and memory becomes fragmented
_OUT_OF_MEMORY = ("ResourceExhaustedError", "RESOURCE_EXHAUSTED", "OutOfMemory", "MemoryError", "OOM when allocating")


@dataclass(frozen=True)
class Device:
    """The hardware, precision and compilation that a training uses."""

    gpus: int  # number of GPUs used; 0 means the CPU
    precision: str  # Keras dtype policy: float32, mixed_float16 or mixed_bfloat16
    jit_compile: bool  # True if XLA compiles the train step

    def __str__(self) -> str:
        where = f"{self.gpus} GPU(s)" if self.gpus else "CPU"
        return f"{where}, {self.precision}, XLA {'on' if self.jit_compile else 'off'}"


def count_gpus() -> int:
    """Return the number of GPUs that the Keras backend can use."""
    if keras.backend.backend() == "tensorflow":
        return len(tf.config.list_physical_devices("GPU"))
    return sum("cpu" not in name for name in keras.distribution.list_devices())


def require_gpu(*, distributed: bool = False) -> None:
    """Raise `InputError` if there is no GPU."""
    if distributed:
        join_processes()  # first, because JAX cannot connect processes after devices were listed
    if not count_gpus():
        raise InputError(
            "training.require_gpu: a GPU is required, but the backend finds no GPU; on a machine with an NVIDIA driver "
            f"{install_command('gpu')}, or set training.require_gpu=false (--env=gpu sets true)"
        )


def prepare_device(
    precision: str, xla: str, seed: int, *, distributed: bool = False, batch_size: int | None = None
) -> Device:
    """Choose GPUs, precision and compilation for this machine, and seed Python, NumPy and the backend.

    On a GPU ``auto`` means mixed_float16 with XLA. On a CPU ``auto`` means float32 without XLA, because mixed precision
    and XLA make EfficientNet several times slower on a CPU. JAX always compiles with XLA.

    The number of GPUs is the largest one that divides ``batch_size`` evenly, or 1 if ``batch_size`` is None. TensorFlow
    with XLA can use only one GPU. For several GPUs, ``xla="auto"`` disables XLA, and ``xla="on"`` uses one GPU.

    If ``distributed``, this process connects to the other processes that the environment describes.
    """
    if distributed:
        join_processes()  # this must precede the initialisation of devices
    jax = keras.backend.backend() == "jax"
    sharing = gpus_to_share(count_gpus(), batch_size or 1)
    gpus = min(sharing, 1) if xla == "on" and not jax else sharing
    if gpus < sharing:
        logger.warning(
            "training.xla=on uses only one GPU and leaves %d idle; training.xla=auto divides each batch among all GPUs",
            sharing - gpus,
        )
    chosen = precision if precision != "auto" else ("mixed_float16" if gpus else "float32")
    device = Device(gpus, chosen, jax or gpus == 1 if xla == "auto" else xla == "on")
    keras.config.set_dtype_policy(device.precision)
    keras.utils.set_random_seed(seed)
    if not jax:
        _prepare_tensorflow(jit_compile=device.jit_compile)
    logger.debug("Prepared %s", device)
    return device


def gpus_to_share(gpus: int, batch_size: int) -> int:
    """Return the largest number of GPUs, at most ``gpus``, that divides the batch size evenly."""
    return max((count for count in range(1, gpus + 1) if batch_size % count == 0), default=0)


def _prepare_tensorflow(*, jit_compile: bool) -> None:
    """Make GPUs deterministic, as CPUs are, and allocate GPU memory as needed.

    Keras silently disables XLA if TensorFlow's option for determinism is set. With XLA, only a flag of XLA is set.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and jit_compile:
        flags = os.environ.get("XLA_FLAGS", "")
        if _DETERMINISTIC not in flags:
            # XLA reads this variable when it is first used.
            os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}".strip()
    elif gpus:
        tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # the device is initialised already
            logger.debug("Memory growth of %s can no longer be changed", gpu)


def memory_bytes() -> int | None:
    """Return the memory of the smallest GPU in bytes, or of the computer if there is no GPU; None if unknown."""
    if not count_gpus():
        return int(psutil.virtual_memory().total)
    if keras.backend.backend() != "tensorflow":
        return None
    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return min(limits, default=None)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error of any library reports that memory is exhausted."""
    text = f"{type(error).__name__} {error}"
    return any(sign in text for sign in _OUT_OF_MEMORY)


def batch_that_fits(
    scale: NetworkScale,
    *,
    classes: int,
    precision: str,
    tried: int,
    memory_bytes: int | None,
    devices: int = 1,
    multiple: int = 1,
) -> int | None:
    """Estimate the largest batch size that fits into memory, after the batch size ``tried`` did not fit.

    ``memory_bytes`` is the memory of one of the ``devices`` devices, or None if unknown. The result is divisible by
    ``devices`` and by ``multiple``, and is at most half of ``tried``; None if there is no such number.
    """
    least = math.lcm(devices, multiple)
    if tried // 2 < least:
        return None
    most = tried // 2
    if memory_bytes is not None:
        cost = count_complexity(scale, classes)
        fixed = cost.training_memory_bytes(1, precision)
        each = cost.training_memory_bytes(2, precision) - fixed
        most = min(most, devices * (1 + int((_USABLE_MEMORY * memory_bytes - fixed) // each)))
    return max(least, most // least * least)


def in_float32(model: keras.Model) -> keras.Model:
    """Return an uncompiled model that has the same weights and computes in float32.

    The layers of ``model`` are copied unless all of them compute in float32. Weights are float32 even under mixed
    precision, so the copy is exact. Evaluation, registration and export always use float32.
    """
    layers = (layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    if all(layer.compute_dtype == "float32" for layer in layers):
        return keras.Model(model.input, model.output, name=model.name) if model.compiled else model
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    copy = type(model).from_config(config)
    copy_variables(model, copy)
    return copy
