"""What a network costs, counted from its blocks: parameters, multiply-adds, activations, memory. Standard library only.

Multiply-adds are those of convolutions and of the classifier, which is what the paper calls FLOPs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.networks.architecture import (
    FAMILY_OF,
    Block,
    StageRow,
    expand_blocks,
    halve,
    head_filters,
    stage_table,
    stem_filters,
)
from goodbad_pipeline.networks.scaling import NetworkScale

_NORMALIZATION = 7  # mean and variance of three channels, and a count
_BYTES = {"float32": 4, "mixed_float16": 2, "mixed_bfloat16": 2}
# Copies of each convolution output that the backward pass keeps. TensorFlow 2.21 on a CPU, 128 pixels, batches of 4 and
# 36: 3.9 for B0 and 2.3 for Lite0, whose ReLU6 needs no input of its own and which has no squeeze-and-excitation.
_COPIES = {"efficientnet": 4.0, "efficientnet_lite": 2.5}
_STATES = 16  # bytes a parameter: weight, gradient and two optimizer slots, all float32 in every precision


@dataclass(frozen=True)
class Cost:
    """Counts that add up.

    Attributes:
        parameters: All weights, moving batch statistics included.
        trainable_parameters: Those that training changes.
        macs: Multiply-adds for one image.
        activations: Numbers that convolutions put out for one image.
    """

    parameters: int = 0
    trainable_parameters: int = 0
    macs: int = 0
    activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.parameters + other.parameters,
            self.trainable_parameters + other.trainable_parameters,
            self.macs + other.macs,
            self.activations + other.activations,
        )


@dataclass(frozen=True)
class StageCost:
    """One row of the paper's Table 1 and what it costs."""

    row: StageRow
    cost: Cost


@dataclass(frozen=True)
class Complexity:
    """What a whole network costs, stage by stage.

    Attributes:
        stages: Rows 1 to 9; the first holds the input normalisation, the last the classifier.
        copies: Times that training keeps each activation.
    """

    stages: tuple[StageCost, ...]
    copies: float

    @property
    def total(self) -> Cost:
        """The sum of all stages."""
        return sum((stage.cost for stage in self.stages), Cost())

    @property
    def parameters(self) -> int:
        """All weights, moving batch statistics included."""
        return self.total.parameters

    @property
    def trainable_parameters(self) -> int:
        """Weights that training changes."""
        return self.total.trainable_parameters

    @property
    def macs(self) -> int:
        """Multiply-adds for one image; the paper's FLOPs."""
        return self.total.macs

    @property
    def activations(self) -> int:
        """Numbers that convolutions put out for one image; training time follows them more than `macs`."""
        return self.total.activations

    def training_memory_bytes(self, batch_size: int, precision: str = "float32") -> int:
        """An estimate of the memory one training step of all layers needs.

        The backward pass keeps each number a convolution puts out about four times (as it is, normalised, activated,
        weighed), in the lite family two and a half times: measured. Each parameter takes 16 bytes: weight, gradient and
        two optimizer slots. What the framework takes for itself, often more than a gigabyte, comes on top.

        Args:
            batch_size: Images a step, at least 1.
            precision: `float32`, `mixed_float16` or `mixed_bfloat16`; the mixed ones halve the activations alone.

        Raises:
            InputError: A value breaks its rule.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number, at least 1; received {batch_size!r}.")
        if precision not in _BYTES:
            raise InputError(f"precision must be one of {', '.join(_BYTES)}; received {precision!r}.")
        kept = round(self.copies * _BYTES[precision] * self.activations)
        return _STATES * self.parameters + kept * batch_size


def count_complexity(scale: NetworkScale, classes: int = 1000, include_top: bool = True) -> Complexity:
    """Count what the built model would count, without building it.

    Args:
        scale: What `resolve_scale` gave.
        classes: Outputs of the classifier, at least 2.
        include_top: Whether the classifier counts.
    """
    rows = stage_table(scale)
    costs = {row.stage: Cost() for row in rows}
    for stage, cost in _layer_costs(scale):
        costs[stage] += cost
    if include_top:
        costs[rows[-1].stage] += _dense(rows[-1].channels, classes)
    return Complexity(tuple(StageCost(row, costs[row.stage]) for row in rows), _COPIES[scale.family])


def _layer_costs(scale: NetworkScale) -> Iterator[tuple[int, Cost]]:
    """Stage and cost of every layer but the classifier."""
    blocks = expand_blocks(scale)
    if FAMILY_OF[scale.family].standardises:
        yield 1, Cost(parameters=_NORMALIZATION)
    yield 1, _convolution(3, 3, stem_filters(scale), halve(scale.resolution, 2))
    for block in blocks:
        for cost in _block_costs(block):
            yield block.stage, cost
    yield 9, _convolution(1, blocks[-1].outputs, head_filters(scale), blocks[-1].output_resolution)


def _block_costs(block: Block) -> Iterator[Cost]:
    side = block.output_resolution
    if block.has_expansion:
        yield _convolution(1, block.inputs, block.expanded, block.resolution)
    yield _convolution(block.kernel, 1, block.expanded, side)  # depthwise: one input channel for each output
    if block.squeezed:
        yield _squeeze_excite(block.expanded, block.squeezed)
    yield _convolution(1, block.expanded, block.outputs, side)


def _convolution(kernel: int, inputs: int, outputs: int, side: int) -> Cost:
    """A convolution without bias and the batch normalisation behind it: two trained vectors, two moving ones."""
    weights = kernel**2 * inputs * outputs
    return Cost(weights + 4 * outputs, weights + 2 * outputs, weights * side**2, outputs * side**2)


def _squeeze_excite(channels: int, squeezed: int) -> Cost:
    """Two 1×1 convolutions with bias on a single pixel."""
    weights = 2 * channels * squeezed
    parameters = weights + channels + squeezed
    return Cost(parameters, parameters, weights, channels + squeezed)


def _dense(inputs: int, outputs: int) -> Cost:
    weights = inputs * outputs
    return Cost(weights + outputs, weights + outputs, weights)
