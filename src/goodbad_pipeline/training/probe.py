"""How long a network takes for one image on this device."""

import time

import numpy as np

from goodbad_pipeline.networks.model import build_network
from goodbad_pipeline.networks.scaling import NetworkScale

TIMED = 3


def measure_ms_per_image(scale: NetworkScale, *, classes: int, batch_size: int) -> float:
    """Build a network with random weights and time its predictions; the fastest of three, after one to warm up.

    Weights do not matter to time, so none are loaded. The fastest is the one that other programs disturbed least.

    Args:
        scale: The network.
        classes: Outputs of the classifier.
        batch_size: Images at a time; many at a time take less each.
    """
    model = build_network(scale, classes=classes)
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, scale.resolution, scale.resolution, 3), np.uint8)
    model.predict_on_batch(pixels)
    seconds = []
    for _ in range(TIMED):
        start = time.perf_counter()
        model.predict_on_batch(pixels)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / batch_size
