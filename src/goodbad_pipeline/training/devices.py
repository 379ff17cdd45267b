"""Choose the devices, precision and compilation of a training, and fit its batches into memory."""

import logging
import math
import os
from dataclasses import dataclass

import keras
import psutil

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.training.distributed import copy_variables, join_processes

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.client import device_lib  # the only API that knows the memory of a GPU

logger = logging.getLogger(__name__)

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_USABLE_MEMORY = 0.85  # the framework needs some itself, and memory fragments
_OUT_OF_MEMORY = ("ResourceExhaustedError", "RESOURCE_EXHAUSTED", "OutOfMemory", "MemoryError", "OOM when allocating")


@dataclass(frozen=True)
class Device:
    """What a training runs on."""

    gpus: int  # that are used, 0 for the CPU
    precision: str  # Keras dtype policy: float32, mixed_float16 or mixed_bfloat16
    jit_compile: bool  # whether XLA compiles the train step

    def __str__(self) -> str:
        where = f"{self.gpus} GPU(s)" if self.gpus else "CPU"
        return f"{where}, {self.precision}, XLA {'on' if self.jit_compile else 'off'}"


def count_gpus() -> int:
    """Return the number of GPUs that the Keras backend sees."""
    if keras.backend.backend() == "tensorflow":
        return len(tf.config.list_physical_devices("GPU"))
    return sum("cpu" not in name for name in keras.distribution.list_devices())


def require_gpu(*, distributed: bool = False) -> None:
    """Raise `InputError` if there is no GPU."""
    if distributed:
        join_processes()  # JAX cannot once devices were listed
    if not count_gpus():
        raise InputError(
            "training.require_gpu: a GPU is required, the backend sees none; install the extra 'gpu' on a machine with "
            "an NVIDIA driver, or run without --env gpu"
        )


def prepare_device(
    precision: str, xla: str, seed: int, *, distributed: bool = False, batch_size: int | None = None
) -> Device:
    """Choose GPUs, precision and compilation for this machine, and seed Python, NumPy and the backend.

    On a CPU ``auto`` means float32 without XLA: mixed precision and XLA both make EfficientNet several times slower
    there. On a GPU it means mixed_float16 and XLA; JAX always compiles by XLA. As many GPUs are used as divide a batch
    evenly, one without ``batch_size``. TensorFlow's XLA compiles for one GPU, so with several ``auto`` turns XLA off,
    and ``on`` uses one GPU. ``distributed`` joins the processes that the environment describes.
    """
    if distributed:
        join_processes()  # before devices are initialised
    jax = keras.backend.backend() == "jax"
    sharing = gpus_to_share(count_gpus(), batch_size or 1)
    gpus = min(sharing, 1) if xla == "on" and not jax else sharing
    if gpus < sharing:
        logger.warning(
            "training.xla: on compiles for one GPU and leaves %d idle; auto shares each batch", sharing - gpus
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
    """Return the largest number of ``gpus`` that divides a batch."""
    return max((count for count in range(1, gpus + 1) if batch_size % count == 0), default=0)


def _prepare_tensorflow(*, jit_compile: bool) -> None:
    """Make GPUs deterministic, which CPUs are, and let them allocate memory as needed.

    Under TensorFlow's own determinism Keras silently does without XLA, so with XLA its own flag is set instead.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and jit_compile:
        flags = os.environ.get("XLA_FLAGS", "")
        if _DETERMINISTIC not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}".strip()  # XLA reads it when it is first used
    elif gpus:
        tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # the device is initialised already
            logger.debug("Memory growth of %s cannot be changed any more", gpu)


def memory_bytes() -> int | None:
    """Return the memory of the training device, the smallest of several GPUs; None if it is unknown."""
    if not count_gpus():
        return int(psutil.virtual_memory().total)
    if keras.backend.backend() != "tensorflow":
        return None
    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return min(limits, default=None)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error, of any library, reports that memory is used up."""
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
    """Estimate the batch size that fits into memory, at most half of ``tried``, which did not fit.

    ``memory_bytes`` is the memory of each of the ``devices`` that share a batch; None if unknown. The result is a
    multiple of ``devices`` and ``multiple``, or None if no smaller one exists.
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
    """Return the network as one that computes in float32, with the same values.

    It is ``model`` itself if it computes in float32 already, else a copy that is not compiled. Mixed precision rounds
    to 16 bits, but not variables. Evaluation, registration and export use float32 on every machine.
    """
    layers = (layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    if all(layer.compute_dtype == "float32" for layer in layers):
        return model
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    copy = type(model).from_config(config)
    copy_variables(model, copy)
    return copy
