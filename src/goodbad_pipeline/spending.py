"""Spends the budget among the parameters on this device, the same for every pipeline that asks."""

import logging

from goodbad_pipeline.efficientnet.budget import Choice, Step
from goodbad_pipeline.efficientnet.scaling import NetworkScale
from goodbad_pipeline.params import ModelParams, TrainingParams
from goodbad_pipeline.training.devices import prepare_device

logger = logging.getLogger(__name__)


def spend_budget(model: ModelParams, training: TrainingParams, classes: int) -> Choice | None:
    """The largest network that the budget buys; None where there is no budget.

    Args:
        model: The budget and what it is for.
        training: Whose batch size, unless the budget has its own, and precision the costs are counted with.
        classes: Outputs of the classifier, at least 2.

    Raises:
        InputError: Not even the smallest network fits; the message says by how much.
    """
    if model.budget is None:
        return None
    batch_size = model.budget.batch_size or training.batch_size
    device = prepare_device(training.precision, training.xla, training.seed)

    def probe(scale: NetworkScale) -> float:
        from goodbad_pipeline.training.probe import measure_ms_per_image  # noqa: PLC0415 - imports Keras

        ms = measure_ms_per_image(scale, classes=classes, batch_size=batch_size)
        logger.info("Measured %s at %d pixels: %.3g ms a picture", scale.label, scale.resolution, ms)
        return ms

    return model.spend(Step(classes, batch_size, device.precision), probe)
