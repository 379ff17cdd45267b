"""Table 1 of the EfficientNet paper (arXiv 1905.11946) as data, and the layers of a network of any scale.

Keras is not imported.
"""

from dataclasses import dataclass
from itertools import pairwise
from string import ascii_lowercase

from goodbad_pipeline.networks.scaling import NetworkScale, resolve_scale, round_filters, round_repeats, variants_of

STEM_FILTERS = 32
HEAD_FILTERS = 1280
IMAGENET_CLASSES = 1000
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STDDEV = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Stage:
    """One row of Table 1: a sequence of similar MBConv blocks. The first block may halve the feature map."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int


# Stages 2 to 8 of EfficientNet-B0.
STAGES = (
    Stage(kernel=3, stride=1, expansion=1, channels=16, repeats=1),
    Stage(kernel=3, stride=2, expansion=6, channels=24, repeats=2),
    Stage(kernel=5, stride=2, expansion=6, channels=40, repeats=2),
    Stage(kernel=3, stride=2, expansion=6, channels=80, repeats=3),
    Stage(kernel=5, stride=1, expansion=6, channels=112, repeats=3),
    Stage(kernel=5, stride=2, expansion=6, channels=192, repeats=4),
    Stage(kernel=3, stride=1, expansion=6, channels=320, repeats=1),
)


@dataclass(frozen=True)
class Family:
    """The settings in which EfficientNet and EfficientNet-Lite differ."""

    activation: str
    squeeze_ratio: float  # squeezed channels as a fraction of a block's input; 0 for no squeeze-and-excitation
    scales_ends: bool  # True if scaling also widens the stem and head, and deepens the first and last stage
    pixel_scale: float  # multiplies input pixels, 0–255
    pixel_offset: float
    standardises: bool  # True if a Normalization layer then applies the ImageNet mean and variance


FAMILY_OF: dict[str, Family] = {
    "efficientnet": Family("swish", 0.25, True, 1 / 255, 0.0, True),
    # The published lite networks were trained on (x - 127) / 128.
    "efficientnet_lite": Family("relu6", 0.0, False, 1 / 128, -127 / 128, False),
}


@dataclass(frozen=True)
class Block:
    """One MBConv block with its sizes."""

    name: str  # as in keras.applications: `block2a` is the first block of the second stage of blocks
    stage: int  # row of Table 1, 2 to 8
    kernel: int
    stride: int
    inputs: int
    expanded: int  # channels of the depthwise convolution; equal to `inputs` without expansion
    outputs: int
    squeezed: int  # channels inside squeeze-and-excitation, 0 for none
    resolution: int  # side of the input feature map in pixels
    drop_rate: float  # probability that stochastic depth skips the block in training

    @property
    def has_expansion(self) -> bool:
        """True if the block starts with a 1×1 convolution that increases the number of channels."""
        return self.expanded != self.inputs

    @property
    def has_shortcut(self) -> bool:
        """True if the block adds its input to its output, which requires equal shapes."""
        return self.stride == 1 and self.inputs == self.outputs

    @property
    def output_resolution(self) -> int:
        """Side of the output feature map in pixels."""
        return halve(self.resolution, self.stride)


def halve(resolution: int, stride: int) -> int:
    """Return the side after a convolution with `same` padding: ``resolution`` / ``stride``, rounded up."""
    return -(-resolution // stride)


def stem_filters(scale: NetworkScale) -> int:
    """Return the number of channels of the first convolution."""
    return round_filters(STEM_FILTERS, scale.width) if FAMILY_OF[scale.family].scales_ends else STEM_FILTERS


def head_filters(scale: NetworkScale) -> int:
    """Return the number of channels of the last convolution, which is the number of pooled features."""
    return round_filters(HEAD_FILTERS, scale.width) if FAMILY_OF[scale.family].scales_ends else HEAD_FILTERS


def stage_repeats(scale: NetworkScale) -> tuple[int, ...]:
    """Return the number of blocks in each of the seven stages."""
    ends = (0, len(STAGES) - 1)
    fixed = () if FAMILY_OF[scale.family].scales_ends else ends
    return tuple(s.repeats if i in fixed else round_repeats(s.repeats, scale.depth) for i, s in enumerate(STAGES))


def expand_blocks(scale: NetworkScale) -> tuple[Block, ...]:
    """Return all MBConv blocks of a network, from input to output."""
    repeats, ratio = stage_repeats(scale), FAMILY_OF[scale.family].squeeze_ratio
    blocks: list[Block] = []
    channels, resolution = stem_filters(scale), halve(scale.resolution, 2)
    for number, (stage, count) in enumerate(zip(STAGES, repeats, strict=True), start=1):
        for position in range(count):
            block = Block(
                name=f"block{number}{_letters(position)}",
                stage=number + 1,
                kernel=stage.kernel,
                stride=1 if position else stage.stride,
                inputs=channels,
                expanded=channels * stage.expansion,
                outputs=round_filters(stage.channels, scale.width),
                squeezed=max(1, int(channels * ratio)) if ratio else 0,
                resolution=resolution,
                drop_rate=scale.stochastic_depth * len(blocks) / sum(repeats),
            )
            channels, resolution = block.outputs, block.output_resolution
            blocks.append(block)
    return tuple(blocks)


def _letters(position: int) -> str:
    """Return the letters for a position: a to z, then aa, ab and so on, like the columns of a spreadsheet."""
    rest, last = divmod(position, len(ascii_lowercase))
    return (_letters(rest - 1) if rest else "") + ascii_lowercase[last]


@dataclass(frozen=True)
class StageRow:
    """One row of Table 1, computed for a network of any scale. Stage 1 is the stem, stage 9 the head."""

    stage: int
    operator: str
    resolution: int
    channels: int
    layers: int


def stage_table(scale: NetworkScale) -> tuple[StageRow, ...]:
    """Return the nine rows of Table 1, computed for a network of this scale."""
    blocks = expand_blocks(scale)
    firsts = [blocks[0]] + [after for before, after in pairwise(blocks) if after.stage != before.stage]
    rows = [StageRow(1, "Conv3×3", scale.resolution, stem_filters(scale), 1)]
    for stage, first, count in zip(STAGES, firsts, stage_repeats(scale), strict=True):
        operator = f"MBConv{stage.expansion} k{stage.kernel}×{stage.kernel}"
        rows.append(StageRow(first.stage, operator, first.resolution, first.outputs, count))
    rows.append(StageRow(9, "Conv1×1, pooling, FC", blocks[-1].output_resolution, head_filters(scale), 1))
    return tuple(rows)


@dataclass(frozen=True)
class LayerShape:
    """Family, channels and blocks of a network, which determine the shapes of all weights except the classifier's."""

    family: str
    channels: tuple[int, ...]  # in the stem, the seven stages and the head
    repeats: tuple[int, ...]  # blocks in each of the seven stages


def layer_shape(scale: NetworkScale) -> LayerShape:
    """Return the family, channels and numbers of blocks of a network, after rounding to whole numbers."""
    channels = tuple(round_filters(stage.channels, scale.width) for stage in STAGES)
    return LayerShape(scale.family, (stem_filters(scale), *channels, head_filters(scale)), stage_repeats(scale))


def matching_variant(scale: NetworkScale) -> str | None:
    """Return the name of the published network with exactly the same layers, or None. The resolution may differ.

    Published weights fit a network if and only if the layers are the same. φ = 0 gives the layers of B0 or Lite0. φ = 1
    gives the layers of B2 or Lite2 (not B1 or Lite1), because B2 and Lite2 also have width 1.1 and depth 1.2.
    """
    shape = layer_shape(scale)
    names = (variant.name for variant in variants_of(scale.family))
    return next((name for name in names if layer_shape(resolve_scale(variant=name)) == shape), None)
