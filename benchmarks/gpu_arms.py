"""The arms of :mod:`benchmarks.gpu`: one function each, run in its own process."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

Row = dict[str, Any]
CEILINGS = ("matrix", "bandwidth")
WARM_UP = 3


def measure_arm(arm: Row) -> Row:
    """Measure one arm; return its row with ``rate`` (images, operations or bytes per second) and the device."""
    if arm["arm"] == "torch":
        return measure_torch(arm)
    if arm["arm"] == "project":
        return measure_project(arm)
    return measure_ceiling(arm)


def rate_of(
    step: Callable[[], object], each: float, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the rate per second over at least three steps, after a warm-up.

    Args:
        step: Runs one step and waits for the device.
        each: Images, operations or bytes per step.
        seconds: Minimum duration.
        clock: Returns the time in seconds.
    """
    for _ in range(WARM_UP):
        step()
    steps, start = 0, clock()
    while steps < 3 or clock() - start < seconds:
        step()
        steps += 1
    return each * steps / (clock() - start)


def measure_ceiling(arm: Row) -> Row:
    """Measure bfloat16 matrix products, in operations per second, or memory traffic, in bytes per second."""
    from keras import ops, random  # noqa: PLC0415

    size, repeat = arm.get("size", 8192), 8
    if arm["arm"] == "matrix":
        start, each = ops.cast(random.normal((size, size)), "bfloat16"), 2 * size**3
        work = compiled(ops.matmul)
    else:
        start, each = random.normal((size * 4, size)), 2 * 4 * 4 * size**2  # reads and writes 4 bytes per number
        work = compiled(lambda x, _: x + 1.0)

    def step() -> None:
        result = start
        for _ in range(repeat):
            result = work(result, start)
        float(ops.sum(result[0, :1]))  # waits for the device

    return {**arm, "rate": rate_of(step, repeat * each, arm["seconds"]), "device": _device()}


def measure_project(arm: Row) -> Row:
    """Measure this project's network under mixed precision and XLA, on images in device memory."""
    import keras  # noqa: PLC0415

    from goodbad_pipeline.networks import build_efficientnet  # noqa: PLC0415
    from goodbad_pipeline.training.devices import prepare_device  # noqa: PLC0415

    device = prepare_device("auto", "auto", 0)
    model = build_efficientnet(variant=arm["variant"], classes=1000, resolution=arm.get("resolution"), seed=0)
    side, batch = int(model.input_shape[1]), arm["batch"]
    pixels = keras.ops.cast(keras.random.randint((batch, side, side, 3), 0, 256), "uint8")
    if arm["mode"] == "training":
        model.compile(keras.optimizers.AdamW(1e-4), "sparse_categorical_crossentropy", jit_compile=device.jit_compile)
        labels = keras.ops.zeros((batch,), "int32")

        def step() -> None:
            model.train_on_batch(pixels, labels)  # returns the loss, so it waits for the device
    else:
        variables = (model.trainable_variables, model.non_trainable_variables)
        states = [[variable.value for variable in group] for group in variables]
        predict = compiled(lambda weights, others, x: model.stateless_call(weights, others, x, training=False)[0])

        def step() -> None:
            float(predict(*states, pixels)[0, 0])

    return {**arm, "rate": rate_of(step, batch, arm["seconds"]), "device": str(device)}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function by XLA on the backend of Keras."""
    import keras  # noqa: PLC0415

    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415

        return jax.jit(function)
    import tensorflow as tf  # noqa: PLC0415

    return tf.function(function, jit_compile=True)


def measure_torch(arm: Row) -> Row:
    """Measure torchvision's B0: channels_last, bfloat16, compiled, a fused optimizer."""
    if find_spec("torchvision") is None:
        return {**arm, "why": "not installed"}
    import torch  # noqa: PLC0415
    import torchvision  # noqa: PLC0415

    device = "cuda" if torch.cuda.is_available() else "cpu"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    model = torchvision.models.efficientnet_b0().to(device, memory_format=torch.channels_last)
    side, batch, training = arm.get("resolution") or 224, arm["batch"], arm["mode"] == "training"
    pixels = torch.rand(batch, 3, side, side, device=device).to(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    model.train(training)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=device == "cuda")
    compiled = torch.compile(model) if device == "cuda" else model

    def step() -> None:
        with torch.autocast(device, torch.bfloat16), torch.set_grad_enabled(training):
            loss = torch.nn.functional.cross_entropy(compiled(pixels), labels)
        if training:
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        wait()

    return {**arm, "rate": rate_of(step, batch, arm["seconds"]), "device": device}


def _device() -> str | None:
    """Return the name of the GPU, or None."""
    import keras  # noqa: PLC0415

    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415

        first = jax.devices()[0]
        return None if first.platform == "cpu" else str(first.device_kind)
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name") if gpus else None
