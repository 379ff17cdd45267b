"""The one place that decides on what, and how precisely, the network is trained."""

import logging
import math
import os
from dataclasses import dataclass
from importlib.util import find_spec

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.complexity import count_complexity
from goodbad_pipeline.networks.scaling import NetworkScale
from goodbad_pipeline.training.distributed import DataParallel, join_team, spread_over_gpus, team

logger = logging.getLogger(__name__)

BACKENDS = ("tensorflow", "jax")
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


@dataclass(frozen=True)
class Device:
    """What training runs on.

    Attributes:
        gpus: Number of GPUs that are used.
        precision: Keras dtype policy: float32, mixed_float16 or mixed_bfloat16.
        jit_compile: Whether XLA compiles the train step.
    """

    gpus: int
    precision: str
    jit_compile: bool

    def __str__(self) -> str:
        where = f"{self.gpus} GPU(s)" if self.gpus else "CPU"
        return f"{where}, {self.precision}, XLA {'on' if self.jit_compile else 'off'}"


def require_backend() -> None:
    """Check that the Keras backend that the environment asks for can be had, without starting it.

    Raises:
        InputError: The project does not run on it, or it is not installed.
    """
    name = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if name not in BACKENDS:
        raise InputError(f"KERAS_BACKEND: must be {' or '.join(BACKENDS)}, got {name!r}")
    if find_spec(name) is None:
        raise InputError(f'KERAS_BACKEND: {name} is not installed; pip install --editable ".[{name}]"')


def count_gpus() -> int:
    """Return the number of GPUs that the Keras backend sees; imports it."""
    import keras  # noqa: PLC0415 - seconds, and only the training road needs it

    if keras.backend.backend() != "tensorflow":
        return sum("cpu" not in name for name in keras.distribution.list_devices())
    import tensorflow as tf  # noqa: PLC0415

    return len(tf.config.list_physical_devices("GPU"))


def augments_on_device() -> bool:
    """Whether images are augmented on the GPU: several take parts of what the host made."""
    return count_gpus() > 0 and not isinstance(team(), DataParallel)


def memory_bytes() -> int | None:
    """Return the memory of the device that is trained on, the smallest of several GPUs; None where nobody knows."""
    import keras  # noqa: PLC0415

    if not count_gpus():
        import psutil  # noqa: PLC0415

        return int(psutil.virtual_memory().total)
    if keras.backend.backend() != "tensorflow":
        return None
    from tensorflow.python.client import device_lib  # noqa: PLC0415 - the one place that knows it

    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return min(limits, default=None)


def require_gpu(*, distributed: bool = False) -> None:
    """Check that there is a GPU.

    Args:
        distributed: Whether to meet the other processes first, which cannot be done once devices were asked for.

    Raises:
        InputError: There is none.
    """
    if distributed:
        join_team()
    if not count_gpus():
        raise InputError(
            "training.require_gpu: a GPU is required, the backend sees none; install the extra 'gpu' on a machine with "
            "an NVIDIA driver, or run without --env gpu"
        )


def prepare_device(
    precision: str, xla: str, seed: int, *, distributed: bool = False, batch_size: int | None = None
) -> Device:
    """Choose devices, precision and compilation for this machine, and seed everything random.

    On CPU ``auto`` means float32 without XLA: both mixed precision and XLA make EfficientNet several times slower
    there. On a GPU it means mixed_float16 and XLA; JAX has nothing but XLA. Of several GPUs as many train together as
    divide a batch evenly; TensorFlow's XLA compiles for one, so ``auto`` leaves it off then, and ``on`` uses one.

    Args:
        precision: ``auto`` or a Keras dtype policy.
        xla: ``auto``, ``on`` or ``off``.
        seed: Seed of Python, NumPy and the backend.
        distributed: Whether to meet the other processes that the environment speaks of.
        batch_size: Images a step that all GPUs may share; None for one GPU.
    """
    import keras  # noqa: PLC0415

    if distributed:
        join_team()  # before anything asks for devices

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
    if keras.backend.backend() == "tensorflow":
        _prepare_tensorflow(jit_compile=device.jit_compile)
    if gpus > 1:
        spread_over_gpus(gpus)
    logger.debug("Prepared %s", device)
    return device


def gpus_to_share(gpus: int, batch_size: int) -> int:
    """Return how many of ``gpus`` each take an equal part of a batch: the most that divide it."""
    return max((count for count in range(1, gpus + 1) if batch_size % count == 0), default=0)


def _prepare_tensorflow(*, jit_compile: bool) -> None:
    """Make GPUs repeat themselves, which CPUs do as they are, and take memory as it is needed.

    Under TensorFlow's own determinism Keras leaves XLA off without a word in its results, so XLA is asked itself.
    """
    import tensorflow as tf  # noqa: PLC0415

    if tf.config.list_physical_devices("GPU") and jit_compile:
        said = os.environ.get("XLA_FLAGS", "")
        if _DETERMINISTIC not in said:
            os.environ["XLA_FLAGS"] = f"{said} {_DETERMINISTIC}".strip()  # it is read where XLA is first used
    elif tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # the device is in use already; its memory stays as it is
            logger.debug("Memory growth of %s cannot be changed any more", gpu)


_USABLE = 0.85  # of the memory: the framework takes some for itself, and it is never packed tight
_SIGNS = ("ResourceExhaustedError", "RESOURCE_EXHAUSTED", "OutOfMemory", "MemoryError", "OOM when allocating")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that memory is used up."""
    described = f"{type(error).__name__} {error}"
    return any(sign in described for sign in _SIGNS)


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
    """Estimate how many images a step would fit, no more than half of what was tried.

    Args:
        scale: The network.
        classes: Outputs of the classifier.
        precision: ``float32``, ``mixed_float16`` or ``mixed_bfloat16``.
        tried: Images a step that did not fit.
        memory_bytes: Memory of a device; None where it is not known, then half of what was tried is the answer.
        devices: How many take an equal part of a batch each.
        multiple: What else has to divide the batch.

    Returns:
        A multiple of ``devices`` and ``multiple``; None where no smaller one than was tried is left.
    """
    least = math.lcm(devices, multiple)
    if tried // 2 < least:
        return None
    most = tried // 2
    if memory_bytes is not None:
        cost = count_complexity(scale, classes)
        fixed = cost.training_memory_bytes(1, precision)
        each = cost.training_memory_bytes(2, precision) - fixed
        most = min(most, devices * (1 + int((_USABLE * memory_bytes - fixed) // each)))
    return max(least, most // least * least)
