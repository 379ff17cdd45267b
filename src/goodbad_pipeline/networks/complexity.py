"""Compute parameters, multiply-adds, activations and memory of a network from its blocks, without Keras.

Multiply-adds are counted for convolutions and the classifier. The paper calls multiply-adds FLOPs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from goodbad_pipeline.networks import architecture
from goodbad_pipeline.networks.architecture import Block, StageRow
from goodbad_pipeline.networks.scaling import NetworkScale

_NORMALIZATION = 7  # mean and variance of three channels, and a count
_BYTES = {"float32": 4, "mixed_float16": 2, "mixed_bfloat16": 2}
# How many copies of each convolution output the backward pass keeps. Measured with TensorFlow 2.21 on a CPU at 128
# pixels, with batches of 4 and 36: 3.9 for B0, 2.3 for Lite0 (no copies for ReLU6, and no squeeze-and-excitation).
_COPIES = {"efficientnet": 4.0, "efficientnet_lite": 2.5}
_STATES = 16  # bytes per parameter: weight, gradient and two optimizer slots, always float32


@dataclass(frozen=True)
class Cost:
    """The cost of a layer, stage or network. Costs can be added."""

    parameters: int = 0  # all weights, including moving batch statistics
    trainable_parameters: int = 0
    macs: int = 0  # multiply-adds for one image
    activations: int = 0  # convolution outputs for one image; they determine training time more than macs do

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.parameters + other.parameters,
            self.trainable_parameters + other.trainable_parameters,
            self.macs + other.macs,
            self.activations + other.activations,
        )


@dataclass(frozen=True)
class StageCost:
    """A stage, one row of Table 1 of the EfficientNet paper, and its cost."""

    row: StageRow
    cost: Cost


@dataclass(frozen=True)
class Complexity(Cost):
    """The cost of a network, in total and stage by stage."""

    stages: tuple[StageCost, ...] = ()  # the first stage includes input normalisation, the last the classifier
    copies: float = 0.0  # how many copies of each activation training keeps

    def training_memory_bytes(self, batch_size: int, precision: str = "float32") -> int:
        """Estimate the memory of one step that trains all layers, in bytes.

        Mixed precision halves only the memory of activations. The memory that the framework itself needs, often more
        than a gigabyte, is not included.
        """
        copies = round(self.copies * _BYTES[precision] * self.activations)
        return _STATES * self.parameters + copies * batch_size


def count_complexity(scale: NetworkScale, classes: int = 1000) -> Complexity:
    """Compute the cost of a network without building the Keras model."""
    rows = architecture.stage_table(scale)
    costs = {row.stage: Cost() for row in rows}
    for stage, cost in _layer_costs(scale):
        costs[stage] += cost
    costs[rows[-1].stage] += _dense(rows[-1].channels, classes)
    stages = tuple(StageCost(row, costs[row.stage]) for row in rows)
    return Complexity(**asdict(sum(costs.values(), Cost())), stages=stages, copies=_COPIES[scale.family])


def _layer_costs(scale: NetworkScale) -> Iterator[tuple[int, Cost]]:
    """Yield the stage and the cost of every layer except the classifier."""
    blocks = architecture.expand_blocks(scale)
    if architecture.FAMILY_OF[scale.family].standardises:
        yield 1, Cost(parameters=_NORMALIZATION)
    yield 1, _convolution(3, 3, architecture.stem_filters(scale), architecture.halve(scale.resolution, 2))
    for block in blocks:
        for cost in _block_costs(block):
            yield block.stage, cost
    yield 9, _convolution(1, blocks[-1].outputs, architecture.head_filters(scale), blocks[-1].output_resolution)


def _block_costs(block: Block) -> Iterator[Cost]:
    side = block.output_resolution
    if block.has_expansion:
        yield _convolution(1, block.inputs, block.expanded, block.resolution)
    yield _convolution(block.kernel, 1, block.expanded, side)  # depthwise: one input channel for each output
    if block.squeezed:
        yield _squeeze_excite(block.expanded, block.squeezed)
    yield _convolution(1, block.expanded, block.outputs, side)


def _convolution(kernel: int, inputs: int, outputs: int, side: int) -> Cost:
    """Return the cost of a convolution without bias and of the batch normalisation (four weights per channel)."""
    weights = kernel**2 * inputs * outputs
    return Cost(weights + 4 * outputs, weights + 2 * outputs, weights * side**2, outputs * side**2)


def _squeeze_excite(channels: int, squeezed: int) -> Cost:
    """Return the cost of two 1×1 convolutions with bias, on a feature map that is pooled to one pixel."""
    weights = 2 * channels * squeezed
    parameters = weights + channels + squeezed
    return Cost(parameters, parameters, weights, channels + squeezed)


def _dense(inputs: int, outputs: int) -> Cost:
    weights = inputs * outputs
    return Cost(weights + outputs, weights + outputs, weights)
